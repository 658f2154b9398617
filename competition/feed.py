"""What a training run is fed with: its prepared pairs, what of them is held out, and its batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from competition.data.likeness import SAME_SCENE
from competition.data.lookalikes import lookalikes
from competition.data.pairs import Pair, find_pairs
from competition.data.patches import Patches, Photometry, Share, Stage
from competition.data.preparation import difficulty_maps, prepare, sources
from competition.data.sources import Source
from competition.data.splits import Split, hold_out_fold, hold_out_listed
from competition.experiment import DataConfig, Experiment


class Contest(NamedTuple):
    """The pairs of a run, synthetic ones among the training pairs."""

    training: list[Pair]
    validation: list[Pair]
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
    prepare(everything, scale, folder, pixels=data.store == "disk", verify=verify)
    lookalikes(everything, scale, folder)
    return len(everything)


def open_contest(experiment: Experiment) -> Contest:
    """The prepared pairs of an experiment, and which of them it holds out."""
    data, scale, folder = _place(experiment)
    pairs, synthetic = find_pairs(data.root, scale), _synthetic(experiment)
    names, likeness = [pair.name for pair in pairs], lookalikes(pairs + synthetic, scale, folder)
    matrix = likeness[: len(pairs), : len(pairs)]
    if isinstance(data.validation, Path):
        split = hold_out_listed(names, matrix, data.root / data.validation)
    else:
        maps = difficulty_maps(pairs, scale, folder)
        difficulty = {name: float(grid.mean()) for name, grid in zip(names, maps, strict=True)}
        split = hold_out_fold(names, matrix, difficulty, data.validation, data.fold, experiment.seed)
    held = [name in split.validation for name in names]
    leaking = np.any(likeness[len(pairs) :, : len(pairs)][:, held] >= SAME_SCENE, axis=1)
    left_out = [pair for pair, leaks in zip(synthetic, leaking, strict=True) if leaks]
    extra = [pair for pair, leaks in zip(synthetic, leaking, strict=True) if not leaks]
    validation = [pair for pair, held_out in zip(pairs, held, strict=True) if held_out]
    training = [pair for pair, held_out in zip(pairs, held, strict=True) if not held_out]
    return Contest(training + extra, validation, split, left_out)


def open_pictures(experiment: Experiment, pairs: Sequence[Pair]) -> list[Source]:
    """Prepared pairs as `data.store` says."""
    data, scale, folder = _place(experiment)
    return sources(data.store, pairs, scale, folder)


def open_patches(experiment: Experiment, pairs: Sequence[Pair], share: Share) -> Patches:
    """The batches cut from prepared pairs, of which this process has its share."""
    data, scale, folder = _place(experiment)
    pictures = open_pictures(experiment, pairs)
    sizes = [picture.size for picture in pictures]
    sampling = data.sampling.build(sizes, lambda: difficulty_maps(pairs, scale, folder))
    stages = [Stage(s.from_step, s.high_patch // scale, s.batch) for s in experiment.all_stages()]
    photometry = Photometry(data.channel_shuffle, data.gain)
    return Patches(pictures, sampling, stages, scale, experiment.seed, photometry, share)


def _place(experiment: Experiment) -> tuple[DataConfig, int, Path]:
    scale = experiment.model.scale
    return experiment.data, scale, experiment.data.prepared(scale)


def _synthetic(experiment: Experiment) -> list[Pair]:
    synthesize = experiment.data.synthesize
    return synthesize.pairs(experiment.seed) if synthesize else []
