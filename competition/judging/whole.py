"""What all pictures of a submission together tell: one is moved, brighter, plainer or older than the others."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from competition.analysis.report import Finding
from competition.data.registration import TOLERANCE
from competition.errors import Fault
from competition.files import printable
from competition.judging.content import Look
from competition.manifest import Manifest

# 8-bit levels that the mean of a picture may lie off its low picture's.
BRIGHTNESS = 3.5
# PSNR in dB to bicubic enlargement, or to an earlier submission, from which pictures are the same or strangers.
SAME, STRANGE = 52.0, 15.0
# A middle of fewer pictures says nothing.
FEW = 3

Looks = Mapping[str, Look]


def compare(submission: Path, looks: Looks, scale: int, manifest: Manifest | None) -> list[Finding]:
    """Warnings about pictures that differ from the others, or from their low pictures, as honest predictions do not."""
    if not looks:
        return []
    told = [*_moved(looks, scale), *_brightness(looks), *_bicubic(looks, manifest), *_earlier(looks)]
    place = printable(submission)
    return [Finding("warning", fault._replace(subject=f"{place}/{name}" if name else place)) for name, fault in told]


def _moved(looks: Looks, scale: int) -> Iterator[tuple[str, Fault]]:
    sure = {name: look.shift for name, look in looks.items() if not np.isnan(look.shift.error)}
    usual = np.median([found.shift for found in sure.values()], 0) if len(sure) >= FEW else np.zeros(2)
    for name, found in sure.items():
        by = (usual - found.shift) * scale
        if np.abs(by).max() > (TOLERANCE + found.error) * scale:
            cause = f"is moved by about ({by[0]:+.1f} down, {by[1]:+.1f} right) pixels"
            yield name, Fault("moved", "", cause, "Look whether its edges lie where bicubic's do")
    if np.abs(usual).max() > TOLERANCE:
        by = -usual * scale
        cause = f"all pictures are moved by about ({by[0]:+.1f} down, {by[1]:+.1f} right) pixels"
        yield "", Fault("all moved", "", cause, "Right only if the contest's low pictures are sampled off centre")


def _brightness(looks: Looks) -> Iterator[tuple[str, Fault]]:
    for name, look in looks.items():
        worst = max(look.offset, key=abs)
        if abs(worst) > BRIGHTNESS:
            channel = ["red", "green", "blue"][look.offset.index(worst)]
            cause = f"its mean {channel} lies {worst:+.1f} levels off its low picture's"
            yield name, Fault("brightness", "", cause, "Look for an offset or a cut-off")


def _bicubic(looks: Looks, manifest: Manifest | None) -> Iterator[tuple[str, Fault]]:
    plain = [name for name, look in looks.items() if look.bicubic > SAME]
    if manifest and any(member.source == "bicubic" for member in manifest.members):
        return
    if len(plain) < len(looks):
        for name in plain:
            yield name, Fault("bicubic", "", "is bicubic enlargement, others are not", "Predict it")
    elif manifest and all(member.source for member in manifest.members):
        yield "", Fault("bicubic", "", "all pictures are bicubic enlargements, no member is", "Predict them again")
    for name, look in looks.items():
        if look.bicubic < STRANGE:
            cause = f"only {look.bicubic:.1f} dB from bicubic enlargement"
            yield name, Fault("strange", "", cause, "Look at it")


def _earlier(looks: Looks) -> Iterator[tuple[str, Fault]]:
    known = {name: look.earlier for name, look in looks.items() if look.earlier is not None}
    same = [name for name, distance in known.items() if np.isinf(distance)]
    if known and len(same) == len(known):
        yield "", Fault("stale", "", "all pictures are those of the earlier submission", "Predict them again")
        return
    for name, distance in known.items():
        if np.isinf(distance):
            yield name, Fault("stale", "", "is that of the earlier submission, others have changed", "Predict it again")
        elif distance < STRANGE:
            cause = f"only {distance:.1f} dB from that of the earlier submission"
            yield name, Fault("strange", "", cause, "Look at both")
