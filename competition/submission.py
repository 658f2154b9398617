"""What a submission's YAML may say: its members, how they vote, and what is handed in."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from competition import voting
from competition.config import Config
from competition.formats import FormatConfig, PngZipConfig
from competition.metrics import MetricConfig
from competition.parts import Kind


class MemberConfig(Config):
    """One voter: a folder whose test/ and validation/ hold predictions; a teammate's will do."""

    folder: Path
    """Folder of the member, relative to `predictions`."""
    weight: float | None = Field(None, ge=0)
    """Its weight in the vote where `weights` is given."""


class Submission(Config):
    """One submission."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Name of the submission: SUBMISSIONS/NAME/ with pictures and manifest, and SUBMISSIONS/NAME.zip or .csv."""
    data: Path
    """Contest folder: test/lr tells names and sizes, train/lr and train/hr score the validation predictions."""
    predictions: Path
    """Folder that holds the members' folders."""
    members: tuple[MemberConfig, ...] = Field(min_length=1)
    compare: tuple[Path, ...] = ()
    """Folders, relative to `predictions`, that stand in the table but do not vote."""
    weights: voting.Scheme = "psnr"
    """Equal weights; each member's validation PSNR (the winning deck's way, nearly equal ones); its `weight`; or fitted
    to the validation pictures, `convex` or `greedy`, and used where pictures left out gain."""
    weights_per: Kind = "all"
    """Other `convex` weights for each frequency band, or for flat, middling and textured places, where that gains."""
    back_projection: Literal["none", "bicubic", "fitted"] = "none"
    """Correct the vote towards the low picture, with how it was made known or fitted, where that gains."""
    scale: Literal[1, 2, 3, 4] = 4
    """Enlargement factor."""
    submissions: Path = Path("submissions")
    """Folder that receives the submission."""
    format: FormatConfig = PngZipConfig()
    """What the contest wants handed in."""
    metric: MetricConfig = MetricConfig()
    """The contest's score."""

    @model_validator(mode="after")
    def _each_member_once(self) -> "Submission":
        places = [(self.predictions / member.folder).resolve() for member in self.members]
        for number, place in enumerate(places):
            if place in places[:number]:
                raise ValueError(f"members: {self.members[number].folder} is listed twice")
        return self

    @model_validator(mode="after")
    def _parts_are_fitted(self) -> "Submission":
        if self.weights_per != "all" and self.weights != "convex":
            raise ValueError(f"weights_per: {self.weights_per} needs weights: convex")
        if self.weights_per == "band" and self.metric.border:
            raise ValueError("weights_per: band needs whole frames, metric.border: 0")
        return self
