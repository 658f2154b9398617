"""The section on training: curves, what the learning rate did, the forecast, where time went."""

from competition.analysis import training as read
from competition.analysis.figures import training as draw
from competition.analysis.forecast import FEWEST
from competition.analysis.reporting import columns
from competition.analysis.reporting.dossier import Dossier
from competition.analysis.reporting.parts import Figure, Part, Prose, Row, Section, Table


def training(dossier: Dossier) -> Section | None:
    """None where no run has a log."""
    parts = _of(dossier)
    if sum("psnr" in one.series for one in dossier.histories) > 1:
        parts.append(Figure(draw.compared(dossier.histories), "Validation curves of all runs"))
    return Section("training", "Training", parts) if parts else None


def _of(dossier: Dossier) -> list[Part]:
    history = dossier.history
    if history is None:
        return []
    figures: list[Part] = []
    if "psnr" in history.series:
        figures.append(Figure(draw.score(history), "Validation PSNR, learning rate and forecast over the steps"))
    if "loss" in history.series:
        figures.append(Figure(draw.loss(history), "Training loss and learning rate over the steps"))
    if (gap := read.gap(history, dossier.loss)) and len(gap.steps) > 1:
        figures.append(Figure(draw.gap(gap), "Training minus validation PSNR over the steps"))
    if speed := draw.speed(history):
        figures.append(Figure(speed, "Steps per second over the steps"))
    caption = (
        "What each learning rate brought; beside it what the validations before it, continued at their rate, would "
        "have reached by the end of this one."
    )
    tables: list[Part] = []
    if len(stages := read.stages(history)):
        tables.append(Table(stages, columns.STAGES, caption))
    if len(time := read.time_spent(history)):
        tables.append(Table(time, columns.TIME, "Where time went, from the logged speed."))
    return [Prose([_notes(dossier)]), Row(figures), *tables]


def _notes(dossier: Dossier) -> str:
    history = dossier.history
    lines = []
    if history and history.score:
        lines.append(f"Validation: {history.score}.")
    if history and "psnr" in history.series and not read.heading(history):
        lines.append(f"No forecast: it takes {FEWEST} validations, there are {len(history.series['psnr'].steps)}.")
    if dossier.loss and dossier.loss != "mse":
        lines.append(f"No gap to validation: the loss, {dossier.loss}, is no squared error.")
    if dossier.loss == "mse":
        lines.append("The gap compares patches with whole pictures: its rise counts, not its level.")
    return " ".join(lines)
