"""The weights of a vote, fitted to the members' errors, and the test whether pictures left out prefer them.

Everything here works on `Grams`, float64 (pictures, parts, members, members): the mean product of two members' errors,
in squared 8-bit levels, on one part of one picture. Where the weights of a part sum to one, the sum over the parts of
w' C w is the mean squared error of the vote, exactly. Weights are float64 (parts, members).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from competition.statistics import interval

Array = npt.NDArray[np.float64]
Fit = Callable[[Array], Array]

# What rounding to 8 bits adds to a mean squared error.
ROUNDING = 1 / 12
ROUNDS = 100
FEWEST_PICTURES = 3
_ITERATIONS, _SETTLED = 1000, 1e-9
# A gain of so many dB is the noise of sums.
_NOTHING = 1e-6
# How much the whole picture counts in a part: enough to weigh where a part does not occur.
_WHOLE = 1e-6


def errors(grams: Array, weights: Array) -> Array:
    """The mean squared error of the vote on each picture, before rounding."""
    return np.asarray(np.einsum("bi,kbij,bj->k", weights, grams, weights))


def psnr(grams: Array, weights: Array) -> Array:
    """The PSNR of the vote on each picture in dB, rounding to 8 bits allowed for."""
    return np.asarray(10 * np.log10(255**2 / (errors(grams, weights) + ROUNDING)))


def diversity(grams: Array, weights: Array) -> Array:
    """By how much the vote's MSE lies below the weighted mean of its members' on each picture, never negative.

    Krogh and Vedelsby, "Neural network ensembles, cross validation, and active learning", NIPS 1994.
    """
    return np.asarray(np.einsum("bi,kbii->k", weights, grams)) - errors(grams, weights)


# ---- fits -----------------------------------------------------------------------------------------------------------


def uniform(grams: Array) -> Array:
    """The plain mean."""
    return np.full(grams.shape[1:3], 1 / grams.shape[2])


def by_psnr(grams: Array) -> Array:
    """Shares in proportion to the members' mean PSNR: nearly the plain mean, as 26 dB and 27 dB are nearly the same."""
    scores = _alone(grams)
    return _whole(grams, scores / math.fsum(scores))


def best_member(grams: Array) -> Array:
    """All weight on the member with the highest mean PSNR."""
    scores = _alone(grams)
    return _whole(grams, np.eye(len(scores))[int(np.argmax(scores))])


def convex(grams: Array) -> Array:
    """The weights of highest mean PSNR: each part on its simplex, no member below 0.

    A logarithm lies below its tangents, so the sum of the log errors falls with every quadratic programme in which
    picture k counts 1 / MSE_k of the last round (majorisation and minimisation, Hunter and Lange 2004).
    """
    weights = uniform(grams)
    for _ in range(_ITERATIONS):
        matrices = np.tensordot(1 / (errors(grams, weights) + ROUNDING), grams, 1)
        matrices += _WHOLE * matrices.sum(0)
        before, weights = weights, np.stack([minimize_on_simplex(matrix) for matrix in matrices])
        if np.abs(weights - before).max() < _SETTLED:
            break
    return weights


def greedy(grams: Array) -> Array:
    """The best prefix of ROUNDS picks, each the member that serves the plain mean of the picks best, repeats allowed.

    Caruana et al., "Ensemble selection from libraries of models", ICML 2004.
    """
    whole = grams.sum(1)
    alone = np.einsum("kii->ki", whole)
    picks = np.zeros(whole.shape[1])
    best, found = -np.inf, picks
    for number in range(1, ROUNDS + 1):
        product = whole @ picks
        joined = ((product @ picks)[:, None] + 2 * product + alone) / number**2
        scores = -np.log(joined + ROUNDING).mean(0)
        picks = picks + np.eye(len(picks))[int(np.argmax(scores))]
        if scores.max() > best:
            best, found = float(scores.max()), picks / number
    return _whole(grams, found)


def minimize_on_simplex(matrix: Array) -> Array:
    """The w of least w' C w with w >= 0 and sum 1, for a positive semidefinite C of (n, n).

    Non-negative least squares finds it exactly: with C = A'A and x = s w, |A x|^2 + (sum(x) - 1)^2 is least at
    s = 1 / (1 + q), where it is q / (1 + q), which rises with q = w' C w. Its active set ends after finitely many steps
    with true zeros, where a general solver such as SLSQP stops at a tolerance.
    """
    # In units of the best member: then the row of ones and the others weigh alike.
    matrix = matrix / (matrix.diagonal().min() or 1.0)
    values, vectors = np.linalg.eigh(matrix)
    root = np.sqrt(values.clip(0))[:, None] * vectors.T
    target = np.zeros(len(matrix) + 1)
    target[-1] = 1
    found, _ = nnls(np.vstack([root, np.ones(len(matrix))]), target)
    return np.asarray(found / found.sum())


def _alone(grams: Array) -> Array:
    """Mean PSNR of each member in dB."""
    return np.array([psnr(grams, _whole(grams, row)).mean() for row in np.eye(grams.shape[2])])


def _whole(grams: Array, weights: Array) -> Array:
    return np.tile(weights, (grams.shape[1], 1))


# ---- the guard ------------------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """A way to weigh: the weights from all pictures, and the dB on each picture of those from all the others."""

    name: str
    weights: Array
    left_out: Array


def attempt(name: str, fit: Fit, grams: Array) -> Trial:
    """Fit to all pictures, and to all but each one in turn."""
    others = (np.delete(grams, k, 0) for k in range(len(grams)))
    left_out = [psnr(grams[k : k + 1], fit(rest))[0] for k, rest in enumerate(others)]
    return Trial(name, fit(grams), np.array(left_out))


def prefer(plain: Trial, fitted: Trial) -> tuple[Trial, str]:
    """The fitted weights if their gain on pictures left out has an interval above 0, else the plain ones.

    Also the line that says so.
    """
    gains = fitted.left_out - plain.left_out
    low, high = interval(gains)
    taken = low > _NOTHING
    figures = f"{gains.mean():+.4f} dB [{low:+.4f}, {high:+.4f}] over {plain.name} on pictures left out"
    verdict = "taken" if taken else f"no sure gain, {plain.name} stays"
    return fitted if taken else plain, f"{fitted.name}: {figures}; {verdict}"
