"""What is known of pictures besides their errors: what the audit found, how like they are to training pictures."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from competition.analysis.diagnosis.findings import Findings

# Pictures on either side that a difference is told of.
_FEWEST = 3


def background(findings: Findings, nearest: Mapping[str, tuple[str, float]]) -> pd.DataFrame:
    """One row a validation picture, the lowest gain first: name, psnr, gain, share (of the squared error), found (what
    the audit found, in its words), degradation (the audit's), nearest (training picture), likeness (to that, 0 to 1).

    nearest: name and likeness of the training picture most like each validation picture.
    """
    found = _by_name(findings.sources.audit)
    kinds = _degradations(findings.sources.audit)
    table = findings.pictures[["name", "psnr", "gain", "share"]].copy()
    table["found"] = ["; ".join(found.get(name, ())) or None for name in table["name"]]
    table["degradation"] = [kinds.get(name) for name in table["name"]]
    table["nearest"] = [nearest[name][0] if name in nearest else None for name in table["name"]]
    table["likeness"] = [nearest[name][1] if name in nearest else np.nan for name in table["name"]]
    return table.sort_values("gain", ignore_index=True)


def hurt(audit: Mapping[str, Any], table: pd.DataFrame) -> pd.DataFrame:
    """What each kind of finding did to the validation pictures it concerns: severity, kind, pairs (all that have it),
    validation (of those, held out), gain (their mean, dB), gain_others (of the other validation pictures, dB)."""
    rows = []
    for severity, kind, names in _kinds(audit):
        concerned = table["name"].isin(names)
        row = {"severity": severity, "kind": kind, "pairs": len(names), "validation": int(concerned.sum())}
        rows.append(row | {"gain": table["gain"][concerned].mean(), "gain_others": table["gain"][~concerned].mean()})
    columns = ["severity", "kind", "pairs", "validation", "gain", "gain_others"]
    return pd.DataFrame(rows, columns=columns).sort_values("validation", ascending=False, ignore_index=True)


def likeness_gain(table: pd.DataFrame) -> tuple[float, float] | None:
    """Mean gain of the half of the pictures most like a training picture, and of the other half, in dB."""
    known = table.dropna(subset=["likeness", "gain"])
    if len(known) < 2 * _FEWEST:
        return None
    ordered = known.sort_values("likeness")["gain"].to_numpy(float)
    half = len(ordered) // 2
    return float(ordered[-half:].mean()), float(ordered[:half].mean())


def _entries(audit: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list in a JSON that may have been written by another version."""
    entries = audit.get(key)
    yield from (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()


def _by_name(audit: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in _entries(audit, "findings"):
        for name in finding.get("names") or ():
            found.setdefault(str(name), []).append(f"{finding.get('kind')}: {finding.get('cause')}")
    return found


def _kinds(audit: Mapping[str, Any]) -> Iterator[tuple[str, str, set[str]]]:
    names: dict[tuple[str, str], set[str]] = {}
    for finding in _entries(audit, "findings"):
        key = (str(finding.get("severity")), str(finding.get("kind")))
        names.setdefault(key, set()).update(map(str, finding.get("names") or ()))
    yield from ((*key, concerned) for key, concerned in names.items() if concerned)


def _degradations(audit: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(pair.get("name")): str(pair["degradation"].get("kind"))
        for pair in _entries(audit, "pairs")
        if isinstance(pair.get("degradation"), dict)
    }
