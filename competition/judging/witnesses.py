"""What else is known of a submission: its manifest, and the predictions that it was made of."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from competition.analysis.report import Finding
from competition.errors import BadInput, Fault
from competition.files import printable, sha256
from competition.images import read_prediction
from competition.judging.pictures import Picture
from competition.manifest import WEIGHTED_MEAN, Manifest, MemberNote, note

# 8-bit levels: room for predictions that were rounded to 16 bits, and for the last bits of a float64.
_ROOM = 0.5 / 257 + 1e-6

Levels = npt.NDArray[np.float64]


def against_file(submission: Path, manifest: Manifest) -> list[Finding]:
    """An error where a file is not the one of the manifest; a warning where the predictions have changed since."""
    findings = []
    if manifest.file and submission.is_file() and sha256(submission) != manifest.file.sha256:
        cause = f"is not the file that the manifest of {printable(manifest.name)} tells of"
        findings.append(Finding("error", Fault("not of the manifest", printable(submission), cause, "Submit again")))
    for member in manifest.members:
        folder = member.folder / "test"
        changed = [name for name in member.predictions if folder.is_dir() and not _unchanged(member, name)]
        if changed:
            cause = f"{len(changed)} predictions have changed since the submission, as {printable(changed[0])}"
            findings.append(Finding("warning", Fault("stale", printable(folder), cause, "Submit again")))
    return findings


def against_manifest(picture: Picture, manifest: Manifest) -> list[Fault]:
    """A fault where a picture is not the one of the manifest."""
    noted = manifest.pictures.get(picture.name)
    if noted == note(picture.pixels):
        return []
    cause = "its pixels are not those of the manifest" if noted else "is not in the manifest"
    return [Fault("not of the manifest", printable(picture.path), cause, "Submit again")]


def against_members(picture: Picture, manifest: Manifest) -> list[Fault]:
    """A fault where a picture is not its members' vote, taken again; none where that cannot be done."""
    if manifest.vote != WEIGHTED_MEAN or not all(_unchanged(member, picture.name) for member in manifest.members):
        return []
    parts = [
        read_prediction(member.folder / "test" / picture.name) * (member.weight / 257) for member in manifest.members
    ]
    if len({part.shape for part in parts}) > 1:
        return []
    return _against_levels(picture, np.asarray(sum(parts)))


def against_prediction(picture: Picture, path: Path) -> list[Fault]:
    """A fault where a picture is not this 8- or 16-bit prediction, rounded."""
    try:
        return _against_levels(picture, read_prediction(path) / np.float64(257))
    except BadInput as error:
        return error.faults


def _against_levels(picture: Picture, levels: Levels) -> list[Fault]:
    """A fault where pixels are not 8-bit levels, (H, W, 3) with fractions, rounded half up once."""
    if levels.shape != picture.pixels.shape:
        cause = f"its prediction has {levels.shape[1]}x{levels.shape[0]} pixels"
        return [Fault("not the prediction", printable(picture.path), cause, "Submit again")]
    difference = levels - picture.pixels
    wrong = float(np.mean(np.abs(difference) > 0.5 + _ROOM))
    if not wrong:
        return []
    if difference.min() >= -_ROOM and difference.max() < 1 + _ROOM:
        cause = f"was cut off instead of rounded: {wrong:.1%} of its values are a level too low"
        return [Fault("not rounded", printable(picture.path), cause, "Round half up, once")]
    most = np.abs(difference).max()
    cause = f"is not the prediction: {wrong:.1%} of its values differ, by up to {most:.0f} levels"
    return [Fault("not the prediction", printable(picture.path), cause, "Submit again")]


def _unchanged(member: MemberNote, name: str) -> bool:
    path = member.folder / "test" / name
    return path.is_file() and sha256(path) == member.predictions.get(name)
