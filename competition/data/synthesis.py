"""Extra training pairs: any high pictures, reduced in the ways that were found in the contest's own pairs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError, model_validator

from competition.config import Config
from competition.data.degrade import Degradation, draw
from competition.data.pairs import Pair, Recipe
from competition.errors import BadInput
from competition.images import list_pictures


class SynthesizeConfig(Config):
    """Extra training pairs from high pictures alone."""

    high: Path
    """Folder of high pictures, PNG."""
    like: Path | None = None
    """JSON report of an audit: degradations as it found them, and as often."""
    kinds: tuple[Degradation, ...] = ()
    """Or the degradations themselves, equally often."""

    @model_validator(mode="after")
    def _one_of_two(self) -> "SynthesizeConfig":
        if (self.like is None) == (not self.kinds):
            raise ValueError("like and kinds: one of the two says how the low pictures are made")
        return self

    def pairs(self, seed: int) -> list[Pair]:
        """One pair for each picture of `high`; its degradation is drawn by seed and name.

        Raises BadInput like `list_pictures`, and for a report that cannot be read or explains no pair.
        """
        kinds = list(self.kinds) if self.like is None else found_degradations(self.like)
        return [_pair(name, path, kinds, seed) for name, path in list_pictures(self.high).items()]


def found_degradations(report: Path) -> list[Degradation]:
    """The degradation of every pair that an audit's JSON report explains."""
    try:
        pairs = json.loads(report.read_text(encoding="utf-8"))["pairs"]
        found = [pair["degradation"] for pair in pairs if pair["degradation"] and pair["degradation"]["explained"]]
        kinds = [Degradation(**{key: each[key] for key in Degradation.model_fields}) for each in found]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise BadInput(f"{report}: cannot be read as an audit's report ({error}). Run `make audit` again") from error
    if not kinds:
        raise BadInput(f"{report}: explains no pair. Name the degradations in data.synthesize.kinds")
    return kinds


def _pair(name: str, path: Path, kinds: Sequence[Degradation], seed: int) -> Pair:
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    return Pair(f"synthetic/{name}", path, path, Recipe(draw([(kind, 1.0) for kind in kinds], generator), key))
