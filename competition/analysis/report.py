"""What an audit found and measured, and its JSON."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from competition.errors import Fault

VERSION = 1
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
Measured = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One fault with what was measured; `names` and `test` are the training and test pictures it concerns.

    error: training would refuse the pictures or suffer from them. warning: look at it. note: good to know.
    """

    severity: Severity
    fault: Fault
    names: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    measured: Measured = field(default_factory=dict)


@dataclass(frozen=True)
class PairRecord:
    """What was measured on one pair; sizes are (width, height) in pixels, hashes are SHA-256 of the decoded pixels.

    psnr_reduced: the low picture against the mean-reduced high one, in dB. psnr_bicubic: the enlarged low picture
    against the high one, in dB; the smaller, the harder the pair. What could not be measured is None.
    """

    name: str
    low_size: tuple[int, int] | None = None
    high_size: tuple[int, int] | None = None
    low_sha256: str | None = None
    high_sha256: str | None = None
    psnr_reduced: float | None = None
    psnr_bicubic: float | None = None
    registration: Measured | None = None
    degradation: Measured | None = None
    cluster: int | None = None
    scene: int | None = None


@dataclass(frozen=True)
class TestRecord:
    """What was measured on one test picture; `look` is what can be said of its degradation without the truth."""

    name: str
    size: tuple[int, int] | None = None
    sha256: str | None = None
    look: Measured | None = None
    scene: int | None = None


@dataclass(frozen=True)
class Report:
    """The whole audit of one contest folder; findings are sorted by severity, kind and subject."""

    root: str
    scale: int
    findings: tuple[Finding, ...]
    pairs: tuple[PairRecord, ...]
    test: tuple[TestRecord, ...]
    clusters: tuple[Measured, ...] = ()

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity."""
        found = Counter(finding.severity for finding in self.findings)
        return {severity: found[severity] for severity in SEVERITIES}

    def kinds(self) -> Counter[tuple[Severity, str]]:
        """How many findings there are of each severity and kind, in the order of the findings."""
        return Counter((finding.severity, finding.fault.kind) for finding in self.findings)

    def healthy(self) -> list[PairRecord]:
        """The pairs without errors."""
        faulty = self.errors_by_name()
        return [pair for pair in self.pairs if pair.name not in faulty]

    def errors_by_name(self) -> dict[str, list[str]]:
        """The causes of all errors of each training picture that has one."""
        causes: dict[str, list[str]] = {}
        for finding in self.findings:
            for name in finding.names if finding.severity == "error" else ():
                causes.setdefault(name, []).append(f"{finding.fault.subject}: {finding.fault.cause}")
        return causes


def to_json(report: Report) -> bytes:
    """The report as JSON; pure ASCII, so names that are no valid text survive as escapes.

    version: VERSION, raised when a reader would have to change. root, scale, counts by severity.
    findings: severity, kind, subject, cause, mend, names and test (pictures concerned), measured (by kind).
    pairs: the fields of `PairRecord`; registration holds verdict, down, right, error, tile_spread (low pixels), gain
    and offset (R, G, B; 8-bit levels); degradation holds kind and the settings of a `Degradation`, explained, rms
    (8-bit levels), margin (nats); cluster is an index into clusters; scene is shared by pictures of one scene.
    test: the fields of `TestRecord`; look holds traces, in words, and the fields of `competition.data.blind.Look`.
    clusters: see `competition.analysis.clusters.cluster`.
    What could not be measured is null.
    """
    content = {
        "version": VERSION,
        "root": report.root,
        "scale": report.scale,
        "counts": report.counts(),
        "findings": [_finding(finding) for finding in report.findings],
        "pairs": [dataclasses.asdict(pair) for pair in report.pairs],
        "test": [dataclasses.asdict(picture) for picture in report.test],
        "clusters": list(report.clusters),
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "severity": finding.severity,
        **finding.fault._asdict(),
        "names": finding.names,
        "test": finding.test,
        "measured": dict(finding.measured),
    }
