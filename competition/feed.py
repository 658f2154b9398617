"""What a training run is fed with: its prepared pairs, what of them is held out, and its batches."""

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.data.degrade import Degradation
from competition.data.likeness import SAME_SCENE
from competition.data.lookalikes import lookalikes
from competition.data.pairs import Pair, Recipe, find_pairs
from competition.data.patches import Mixture, Patches, Photometry, Share, Stage
from competition.data.preparation import Prepared, open_store, prepare, sources
from competition.data.splits import Split, hold_out_fold, hold_out_listed
from competition.experiment import DataConfig, Experiment


class Contest(NamedTuple):
    """The prepared pairs of a run, synthetic ones among the training pairs."""

    training: list[Prepared]
    validation: list[Prepared]
    split: Split
    left_out: list[Pair]
    """Synthetic pairs that show a scene of the validation."""

    def warnings(self) -> list[str]:
        """A line for every validation picture whose scene is in training too."""
        leaks = [near for near in self.split.nearest if near.likeness >= SAME_SCENE]
        lines = [f"{near.name} in validation and {near.other} in training show one scene" for near in leaks]
        if self.left_out:
            lines.append(f"{len(self.left_out)} synthetic pairs show scenes of the validation and are left out")
        return lines


def prepare_pairs(experiment: Experiment, verify: bool = False) -> int:
    """Bring the store of an experiment up to date, as `preparation.prepare` does; returns the number of pairs."""
    data, scale, folder = _place(experiment)
    pairs = find_pairs(data.root, scale)
    everything = pairs + _synthetic(experiment)
    prepare(everything, scale, folder, data.store == "disk", verify)
    lookalikes(open_store(everything, scale, folder), folder)
    for other in _other_scales(experiment):
        prepare(_reduced(everything), other, _reduced_folder(data, other), data.store == "disk", verify)
    return len(everything)


def open_contest(experiment: Experiment) -> Contest:
    """The prepared pairs of an experiment, and which of them it holds out."""
    data, scale, folder = _place(experiment)
    pairs = open_store(find_pairs(data.root, scale), scale, folder)
    synthetic = open_store(_synthetic(experiment), scale, folder)
    likeness = lookalikes(pairs + synthetic, folder)
    names, matrix = [one.pair.name for one in pairs], likeness[: len(pairs), : len(pairs)]
    if isinstance(data.validation, Path):
        split = hold_out_listed(names, matrix, data.root / data.validation)
    else:
        difficulty = {one.pair.name: float(one.fact("difficulty").mean()) for one in pairs}
        split = hold_out_fold(names, matrix, difficulty, data.validation, data.fold, experiment.seed)
    held = np.isin(names, split.validation)
    leaking = np.any(likeness[len(pairs) :, : len(pairs)][:, held] >= SAME_SCENE, axis=1)
    training = [*compress(pairs, ~held), *compress(synthetic, ~leaking)]
    left_out = [one.pair for one in compress(synthetic, leaking)]
    return Contest(training, list(compress(pairs, held)), split, left_out)


def open_batches(experiment: Experiment, prepared: Sequence[Prepared], share: Share) -> Mixture:
    """The batches of all scales, cut from prepared pairs, of which this process has its share."""
    parts = [open_patches(experiment, prepared, share)]
    for number, scale in enumerate(_other_scales(experiment), 1):
        pairs = _reduced([one.pair for one in prepared])
        reduced = open_store(pairs, scale, _reduced_folder(experiment.data, scale))
        parts.append(_cut(experiment, reduced, share, scale, number))
    return Mixture(parts)


def open_patches(experiment: Experiment, prepared: Sequence[Prepared], share: Share) -> Patches:
    """The batches of the model's scale, cut from prepared pairs, of which this process has its share."""
    return _cut(experiment, prepared, share, experiment.model.scale, 0)


def _cut(experiment: Experiment, prepared: Sequence[Prepared], share: Share, scale: int, number: int) -> Patches:
    data, parts = experiment.data, len(experiment.scales())
    pictures = sources(data.store, prepared)
    sizes = [picture.size for picture in pictures]
    sampling = data.sampling.build(sizes, lambda: [one.fact("difficulty") for one in prepared])
    stages = [Stage(s.first, s.high_patch // scale, s.batch // parts) for s in experiment.all_stages()]
    photometry = Photometry(data.channel_shuffle, data.gain)
    return Patches(pictures, sampling, stages, scale, experiment.seed, photometry, share, number)


def _place(experiment: Experiment) -> tuple[DataConfig, int, Path]:
    scale = experiment.model.scale
    return experiment.data, scale, experiment.data.prepared(scale)


def _synthetic(experiment: Experiment) -> list[Pair]:
    synthesize = experiment.data.synthesize
    return synthesize.pairs(experiment.seed) if synthesize else []


def _other_scales(experiment: Experiment) -> list[int]:
    return [scale for scale in experiment.scales() if scale != experiment.model.scale]


def _reduced(pairs: Sequence[Pair]) -> list[Pair]:
    """The same high pictures with low ones made of them: by MATLAB's bicubic, or as a synthetic pair says."""
    return [Pair(pair.name, pair.high, pair.high, pair.recipe or Recipe(Degradation(), 0)) for pair in pairs]


def _reduced_folder(data: DataConfig, scale: int) -> Path:
    return data.prepared(scale) / "reduced"  # apart from the pairs of an experiment of this scale alone
