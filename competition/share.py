"""Write a run's best weights as one small file to hand on: half precision, describing itself."""

from collections.abc import Sequence
from pathlib import Path

from competition import weights
from competition.errors import ArgumentParser, run_command
from competition.files import write_atomic
from competition.progress import console


def main(arguments: Sequence[str]) -> None:
    """The command line: RUN OUTPUT."""
    parser = ArgumentParser(prog="python -m competition.share", description=__doc__ or "")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("output", type=Path, help="file to write, *.safetensors")
    given = parser.parse_args(arguments)
    share(given.run / "best.safetensors", given.output)


def share(source: Path, output: Path) -> None:
    """Copy a weights file with its averaged weights, or else its weights, rounded to float16.

    Networks are still computed in float32; the rounding of the weights costs well under 0.01 dB.
    """
    content = weights.read(source)
    halved = {name: tensor.half() for name, tensor in (content.ema or content.weights).items()}
    encoded = weights.encode(weights.Weights(halved, {}, content.description))
    write_atomic(output, encoded)
    console.print(f"{output}: {len(encoded):,} bytes")


if __name__ == "__main__":
    run_command(main)
