"""Average the weights that runs have kept, greedily: none is taken in that would lower the validation score.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without increasing
inference time", ICML 2022, recipe 1.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from rich.text import Text
from torch import nn

from competition import weights
from competition.config import parse
from competition.data.pairs import find_pairs, fingerprint, read_names
from competition.data.sources import Files
from competition.errors import ArgumentParser, BadCheckpoint, NumericalError, run_command
from competition.files import write_atomic
from competition.ingredients import Ingredient, collect
from competition.memory import reuse_freed_memory
from competition.metrics import MetricConfig
from competition.models import ModelConfig
from competition.progress import console, progress
from competition.runs import read_record
from competition.validation import scores


class Tasted(NamedTuple):
    """An ingredient in its turn: its own score, that of the soup with it, and whether it stayed in; dB."""

    ingredient: Ingredient
    alone: float
    together: float
    taken: bool


class Pot(NamedTuple):
    """The float64 sum of the weights that are in, and their number."""

    total: weights.State
    number: int

    def adding(self, state: weights.State) -> "Pot":
        """The pot with one more ingredient."""
        total = {name: tensor.double() + self.total.get(name, 0) for name, tensor in state.items()}
        return Pot(total, self.number + 1)

    def mean(self) -> weights.State:
        """Equal shares of everything in the pot."""
        return {name: tensor / self.number for name, tensor in self.total.items()}


class Judge:
    """The pictures that a run holds out, its metric, and a network to try weights in."""

    def __init__(self, model: ModelConfig, metric: MetricConfig, pictures: Sequence[Files]) -> None:
        self.model = model
        self.metric = metric
        self.pictures = pictures
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network: nn.Module = model.build().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def score(self, state: weights.State, origin: str) -> float:
        """The mean over the pictures, as training measures it, in dB."""
        weights.load_state(self.network, state, origin)
        try:
            return float(scores(self.network, self.pictures, self.metric, self.device).mean())
        except NumericalError as error:
            raise NumericalError(f"{origin}: makes pictures that are not finite. Remove it or leave it out") from error


def main(arguments: Sequence[str]) -> None:
    """The command line: RUN DATA."""
    parser = ArgumentParser(prog="python -m competition.soup", description=__doc__ or "")
    parser.add_argument("run", type=Path, help="run folder, into which soup.safetensors is written")
    parser.add_argument("data", type=Path, help="contest folder that the run was trained with")
    more = "other runs and weights files of the same network"
    parser.add_argument("--add", type=Path, nargs="+", default=[], metavar="SOURCE", help=more)
    given = parser.parse_args(arguments)
    reuse_freed_memory()
    cook(given.run, given.data, given.add)


def cook(run: Path, data: Path, added: Sequence[Path] = ()) -> None:
    """Write RUN/soup.safetensors, the best average found, and print what each ingredient is worth.

    Never worse than the best ingredient, by the run's own metric on its own validation pictures. Raises BadCheckpoint
    where networks differ, where DATA is not the run's, and where an added run does not hold out the same pictures.
    """
    recorded = read_record(run)
    for other in added:
        if other.is_dir() and read_record(other).data.get("validation") != recorded.data.get("validation"):
            cause = f"does not hold out the pictures that {run} holds out, and may have trained on them"
            raise BadCheckpoint(f"{other}: {cause}. Leave it out")
    ingredients = collect([run, *added])
    model = ingredients[0].description.model
    metric = parse(json.dumps(recorded.config.get("metric")), MetricConfig, f"{run}/experiment.json")
    judge = Judge(model, metric, _held_out(run, data, model.scale, recorded.data.get("validation")))
    tasted, pot = _greedy(ingredients, judge)
    console.print(_table(tasted, metric))
    _serve(run / "soup.safetensors", tasted, pot, judge)


def _held_out(run: Path, data: Path, scale: int, expected: str | None) -> list[Files]:
    """The validation pairs of a run, shown to be the very same."""
    names = read_names(run / "validation.txt")
    pairs = [pair for pair in find_pairs(data, scale) if pair.name in names]
    if fingerprint(pairs) != expected:
        raise BadCheckpoint(f"{data}: its pictures are not those that {run} holds out. Give the run's own data")
    return [Files(pair, scale) for pair in pairs]


def _greedy(ingredients: Sequence[Ingredient], judge: Judge) -> tuple[list[Tasted], Pot]:
    """Put in the best ingredient, then, best first, each one with which the soup does not get worse."""
    with progress() as bar:
        found = [(judge.score(one.state(), one.name), one) for one in bar.track(ingredients, description="alone")]
        found.sort(key=lambda scored: -scored[0])
        best, pot, tasted = float("-inf"), Pot({}, 0), list[Tasted]()
        for alone, one in bar.track(found, description="together"):
            fuller = pot.adding(one.state())
            together = judge.score(fuller.mean(), f"the soup with {one.name}") if tasted else alone
            tasted.append(Tasted(one, alone, together, taken=together >= best))
            if together >= best:
                best, pot = together, fuller
    return tasted, pot


def _table(tasted: Sequence[Tasted], metric: MetricConfig) -> Table:
    table = Table(title=metric.definition())
    table.add_column("weights", overflow="fold")
    table.add_column("alone, dB", justify="right")
    table.add_column("with it in the soup, dB", justify="right")
    table.add_column("taken")
    for one in tasted:
        figures = f"{one.alone:.4f}", f"{one.together:.4f}"
        table.add_row(Text(one.ingredient.name), *figures, "yes" if one.taken else "no")
    return table


def _serve(path: Path, tasted: Sequence[Tasted], pot: Pot, judge: Judge) -> None:
    taken = [one for one in tasted if one.taken]
    value, gain = taken[-1].together, taken[-1].together - taken[0].alone
    score = weights.Score(value=value, definition=judge.metric.definition())
    names = tuple(one.ingredient.name for one in taken)
    step = max(one.ingredient.description.step for one in taken)
    description = weights.Description(model=judge.model, step=step, score=score, made_of=names)
    weights.load_state(judge.network, pot.mean(), str(path))
    write_atomic(path, weights.encode(weights.Weights(judge.network.state_dict(), {}, description)))
    console.print(f"{path}: {len(taken)} of {len(tasted)}, {value:.4f} dB, {gain:+.4f} over the best one alone")


if __name__ == "__main__":
    run_command(main)
