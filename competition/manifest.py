"""manifest.json of a submission: what it holds, what it was made of, and what it should score."""

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from competition.config import Config, parse
from competition.errors import BadInput, UsageError
from competition.formats import FormatConfig, PngZipConfig
from competition.images import Bytes

MANIFEST = "manifest.json"
# The vote that a judge can repeat from the predictions alone.
WEIGHTED_MEAN = "weighted mean"


class FileNote(Config):
    """The file that is handed in."""

    name: str
    """Its name; it lies beside the folder with the manifest."""
    sha256: str
    """SHA-256 of its bytes."""


class PictureNote(Config):
    """One picture."""

    width: int
    height: int
    sha256: str
    """SHA-256 of its pixels, row by row, red green blue, a byte each."""


class MemberNote(Config):
    """One member of the vote."""

    folder: Path
    """Its folder of predictions, as an absolute path."""
    weight: float
    """Its share of the vote; all shares make 1."""
    psnr: float | None
    """Its validation score in dB, none where it equals the truth."""
    source: str | None = None
    """What predicted it: a run, a weights file, `bicubic`; unknown for a folder that came without its record."""
    weights: str | None = None
    """SHA-256 of the weights file that predicted it."""
    commit: str | None = None
    """Git commit of the code that predicted it."""
    predictions: dict[str, str]
    """SHA-256 of each of its test predictions, by file name."""


class ValidationNote(Config):
    """The score on the validation pictures."""

    metric: str
    """Definition of the score; scores of different definitions must not be compared."""
    psnr: float | None
    """The vote's score in dB, none where it equals the truth."""
    pictures: int
    """How many pictures it is the mean of."""
    rows: tuple[dict[str, Any], ...]
    """The table that was printed: name, psnr, seconds and weight of each prediction."""


class ExpectedNote(Config):
    """The score to expect on the hidden truth, in dB, with an interval that holds it with probability `level`."""

    psnr: float
    low: float
    high: float
    level: float


class Manifest(Config):
    """One submission."""

    version: Literal[1] = 1
    name: str
    format: FormatConfig = PngZipConfig()
    scale: int
    vote: str
    """How the members' predictions became one."""
    members: tuple[MemberNote, ...]
    validation: ValidationNote
    expected: ExpectedNote | None = None
    commit: str | None
    """Git commit of the code that voted."""
    versions: dict[str, str]
    pictures: dict[str, PictureNote] = Field(default_factory=dict)
    """By file name; written with the pictures themselves."""
    file: FileNote | None = None


def note(pixels: Bytes) -> PictureNote:
    """What a manifest says of a uint8 (H, W, 3) RGB picture."""
    return PictureNote(
        width=pixels.shape[1], height=pixels.shape[0], sha256=hashlib.sha256(pixels.tobytes()).hexdigest()
    )


def encode(manifest: Manifest) -> bytes:
    """The bytes of manifest.json; the same submission gives the same bytes."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.json; raises BadInput when it is none."""
    try:
        return parse(path.read_text(encoding="utf-8"), Manifest, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}). Submit again") from error
    except UsageError as error:
        raise BadInput(*error.lines) from error
