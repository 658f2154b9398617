"""What members' predictions of the hidden test pictures tell without the truth: gain, disagreement, outliers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from competition import weighting
from competition.agreement import Outlier, disagreement, distances, draw, gram, outliers
from competition.files import write_folder
from competition.images import Bytes, Words, encode_png
from competition.metrics import MetricConfig
from competition.parts import PARTS
from competition.voting import Array, Ballot


class Hidden:
    """Gathers picture by picture; the truth would add the same to both sides of what it compares.

    MSE(vote) = weighted mean of the members' MSE - diversity, exactly and before rounding, and the diversity needs no
    truth. Large on the test pictures: the vote gains much there.
    """

    def __init__(self, ballot: Ballot, metric: MetricConfig) -> None:
        self.ballot, self.metric = ballot, metric
        self.grams: dict[str, Array] = {}
        self.maps: dict[str, bytes] = {}

    def add(self, name: str, members: Sequence[Words], low: Bytes) -> None:
        """Look at all members' predictions of one picture."""
        parts = PARTS[self.ballot.kind]
        labels = parts.label(low, self.ballot.scale)
        # Any picture may stand in the truth's place: it drops out.
        self.grams[name] = gram(members, members[0], self.metric, parts, labels)
        self.maps[name] = encode_png(draw(disagreement(members, self.ballot.shares)))

    def write(self, folder: Path) -> None:
        """A disagreement map of every picture as PNG, and report.json, in place of those of an earlier vote."""
        write_folder(folder, self.maps | {"report.json": json.dumps(self._report(), indent=1).encode()})

    def diversity(self) -> Array:
        """Of the vote on each picture, in squared 8-bit levels."""
        return weighting.diversity(np.array(list(self.grams.values())), self.ballot.weights)

    def outliers(self, validation: Array) -> list[Outlier]:
        """Members out of family on a picture, `validation` being the Gram matrices that show what is usual."""
        return outliers(distances(validation), distances(np.array(list(self.grams.values()))))

    def lines(self, validation: Array, members: Sequence[str]) -> list[str]:
        """For the user: the gain to expect, and a warning for every member out of family."""
        if self.ballot.kind == "all":  # the evidence may tell parts that were not to weigh apart
            validation = validation.sum(1, keepdims=True)
        known = weighting.diversity(validation, self.ballot.weights)
        lines = [
            f"the vote's MSE lies {self.diversity().mean():.3f} below its members' weighted mean on the test pictures, "
            f"{known.mean():.3f} on the validation pictures"
        ]
        names = list(self.grams)
        return lines + [
            f"warning: {members[one.member]}: {names[one.picture]}: {one.times:.1f} times as far from the others as "
            "usual. Look at it"
            for one in self.outliers(validation)
        ]

    def _report(self) -> dict[str, Any]:
        """Plain values by picture: diversity, and each member's distance to the other members."""
        between = distances(np.array(list(self.grams.values())))
        return {
            name: {"diversity": float(gain), "distances": np.round(apart, 4).tolist()}
            for name, gain, apart in zip(self.grams, self.diversity(), between, strict=True)
        }
