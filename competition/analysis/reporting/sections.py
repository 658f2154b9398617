"""All sections of a report in their order, and what could not be told."""

from collections.abc import Iterator

from competition.analysis.reporting.crops import crops
from competition.analysis.reporting.data import data
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.errors import budget, pictures, where
from competition.analysis.reporting.hidden import hidden
from competition.analysis.reporting.parts import Prose, Section, Verdict
from competition.analysis.reporting.training import training
from competition.analysis.training import remarks
from competition.analysis.unseen import first_two

SENTENCES = 10


def sections(dossier: Dossier) -> dict[str, Section]:
    """By key: verdict, pictures, crops, where, budget, training, data, hidden, lacks; those there is matter for."""
    return {section.key: section for section in _all(dossier) if section}


def verdict(dossier: Dossier) -> list[tuple[str, str]]:
    """At most SENTENCES sentences, each with the rule that let it be said; those on errors come first."""
    found = dossier.findings.verdict if dossier.findings else None
    sentences = list(zip(found["sentence"], found["rule"], strict=True)) if found is not None else []
    if dossier.history:
        sentences += [(sentence, rule) for _, sentence, rule in remarks(dossier.history)]
    if dossier.unseen:
        rule = "test pictures were predicted"
        chosen = first_two(dossier.unseen.table)
        sentences += [(f"Of the test pictures look first at {name}: {reason}.", rule) for name, reason in chosen]
    return sentences[:SENTENCES]


def _all(dossier: Dossier) -> Iterator[Section | None]:
    findings = dossier.findings
    if said := verdict(dossier):
        yield Section("verdict", "Verdict", [Verdict(said)])
    if findings:
        yield pictures(dossier, findings)
        yield crops(findings, findings.sources.previous, dossier.labels[0])
        yield where(findings)
        yield budget(findings)
    yield training(dossier)
    if findings:
        yield data(dossier, findings)
    yield hidden(dossier)
    if dossier.lacks:
        yield Section("lacks", "What could not be told", [Prose(dossier.lacks)])
