"""Judges a finished submission as the contest would, never through the code that wrote it: all faults at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from competition.analysis.report import Finding
from competition.errors import BadInput, Fault
from competition.images import Bytes, list_pictures, read_rgb
from competition.judging import witnesses
from competition.judging.content import CONTENT, Look, inspect, look
from competition.judging.pictures import Picture, read_pictures
from competition.judging.reading import Size
from competition.judging.readings import Plane, thumbnail
from competition.judging.whole import compare
from competition.manifest import MANIFEST, Manifest, read_manifest
from competition.progress import console, progress


class Evidence(NamedTuple):
    """What is known of a submission beside the contest's low pictures; all of it may be absent."""

    manifest: Path | None = None
    """Its manifest.json; the predictions of its members are compared too, where they still lie there."""
    predictions: Path | None = None
    """A folder of 8- or 16-bit predictions that were handed in as they are."""
    previous: Path | None = None
    """An earlier submission: folder, zip or CSV."""


class Verdict(NamedTuple):
    """All findings on a submission, and what was measured on each picture that shows its low picture, by name."""

    findings: list[Finding]
    looks: dict[str, Look]


class _Case(NamedTuple):
    """Everything that pictures are judged by; thumbnails and (width, height) of the pictures by file name."""

    lows: Mapping[str, Path]
    thumbnails: Mapping[str, Plane]
    sizes: Mapping[str, Size]
    scale: int
    manifest: Manifest | None
    predictions: Path | None
    previous: Mapping[str, Bytes]


def judge(submission: Path, lows: Path, scale: int, evidence: Evidence | None = None) -> Verdict:
    """Judge a folder of PNGs, a zip or a CSV as the answer to a folder of 8-bit low pictures.

    Raises BadInput only where low pictures or evidence cannot be read.
    """
    case = _open(lows, scale, evidence or Evidence())
    findings: list[Finding] = []
    looks: dict[str, Look] = {}
    with progress() as bar:
        found = read_pictures(submission, case.sizes, case.manifest.format if case.manifest else None)
        for item in bar.track(found, total=len(case.sizes), description="judge"):
            if isinstance(item, Fault):
                findings.append(Finding("error", item))
                continue
            low = read_rgb(case.lows[item.name])
            faults = inspect(item, low, case.thumbnails, scale)
            if not faults:
                looks[item.name] = look(item.pixels, low, scale, case.previous.get(item.name))
            findings += [Finding("error", fault) for fault in [*faults, *_testimony(item, case)]]
    if case.manifest:
        findings += witnesses.against_file(submission, case.manifest)
    return Verdict(findings + compare(submission, looks, scale, case.manifest), looks)


def known_manifest(submission: Path) -> Path | None:
    """The manifest.json that belongs to a folder, or to the file beside a folder of its name."""
    place = submission if submission.is_dir() else submission.with_suffix("")
    return place / MANIFEST if (place / MANIFEST).is_file() else None


def conclude(verdict: Verdict, content_counts: bool = True) -> None:
    """Print a line for every warning; raises BadInput with one for every error.

    Without `content_counts`, what pictures show is only warned of: a network that has just begun predicts black ones.
    """
    errors = []
    for finding in verdict.findings:
        if finding.severity == "error" and (content_counts or finding.fault.kind != CONTENT):
            errors.append(finding.fault)
        else:
            console.print(f"warning: {finding.fault}", markup=False)
    if errors:
        raise BadInput(*errors)


def _open(lows: Path, scale: int, evidence: Evidence) -> _Case:
    listed = list_pictures(lows)
    thumbnails, sizes = {}, {}
    for name, path in listed.items():
        low = read_rgb(path)
        sizes[name] = (low.shape[1] * scale, low.shape[0] * scale)
        thumbnails[name] = thumbnail(low, low.shape)
    manifest = read_manifest(evidence.manifest) if evidence.manifest else None
    previous = read_pictures(evidence.previous, sizes, None) if evidence.previous else iter(())
    earlier = {item.name: item.pixels for item in previous if isinstance(item, Picture)}
    return _Case(listed, thumbnails, sizes, scale, manifest, evidence.predictions, earlier)


def _testimony(picture: Picture, case: _Case) -> list[Fault]:
    """What manifest and predictions say against a picture."""
    faults = []
    if case.manifest:
        faults += witnesses.against_manifest(picture, case.manifest)
        faults += witnesses.against_members(picture, case.manifest)
    if case.predictions:
        faults += witnesses.against_prediction(picture, case.predictions / picture.name)
    return faults
