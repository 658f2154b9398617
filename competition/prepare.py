"""Decode every training pair once into the pixel store, from which training cuts its patches at memory speed."""

from collections.abc import Sequence
from pathlib import Path

from competition.config import load
from competition.errors import ArgumentParser, run_command
from competition.experiment import Experiment
from competition.feed import prepare_pairs
from competition.progress import console


def main(arguments: Sequence[str]) -> None:
    """The command line: CONFIG and overrides, as for training."""
    parser = ArgumentParser(prog="python -m competition.prepare", description=__doc__ or "")
    parser.add_argument("config", type=Path, help="YAML file of the training run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for example data.cache=/fast/disk")
    given = parser.parse_intermixed_args(arguments)
    experiment = load(given.config, Experiment, given.overrides)
    # Training trusts what stands; here, where time matters less, every byte is compared with its checksum.
    count = prepare_pairs(experiment, verify=True)
    folder = experiment.data.prepared(experiment.model.scale)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    console.print(f"{folder}: {count} pairs ready and verified, {size / 1e9:.2f} GB")


if __name__ == "__main__":
    run_command(main)
