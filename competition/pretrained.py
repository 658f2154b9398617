"""Published weights: known by name, downloaded once, verified before anything reads them, converted to safetensors.

A foreign file may hold its tensors bare, under `params` or under `params_ema`; the averaged `params_ema` is preferred.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from competition import foreign, weights
from competition.config import suggest
from competition.download import download
from competition.errors import ArgumentParser, BadCheckpoint, UsageError, run_command
from competition.files import sha256, write_atomic
from competition.models import ModelConfig, rotation, windows
from competition.models.nf_resunet import NFResUNetConfig
from competition.models.rrdbnet import RRDBNetConfig, RRDBSettings
from competition.progress import console
from competition.published import KNOWN, Entry, PublishedModel

# Names of ESRGAN's first network (numbered layers), then of its second, to those of basicsr, which are ours.
_RENAMED = {
    r"model\.0\.": "conv_first.",
    r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.": r"body.\1.rdb\2.conv\3.",
    r"model\.1\.sub\.\d+\.(?=weight|bias)": "conv_body.",
    r"model\.3\.": "conv_up1.",
    r"model\.6\.": "conv_up2.",
    r"model\.8\.": "conv_hr.",
    r"model\.10\.": "conv_last.",
    r"RRDB_trunk\.(\d+)\.RDB(\d)\.": r"body.\1.rdb\2.",
    r"trunk_conv\.": "conv_body.",
    r"upconv(\d)\.": r"conv_up\1.",
    r"HRconv\.": "conv_hr.",
}


def main(arguments: Sequence[str]) -> None:
    """The command line: NAME, or nothing for the table."""
    parser = ArgumentParser(prog="python -m competition.pretrained", description=__doc__ or "")
    parser.add_argument("name", nargs="?", help="weights to fetch; without it, show those that are known")
    parser.add_argument("--file", type=Path, help="use this file instead of downloading")
    parser.add_argument("--mirror", metavar="URL", help="address to put before the file name (COMPETITION_MIRROR)")
    parser.add_argument("--trust-sha256", metavar="HEX", help="SHA-256 you checked, where none was published")
    parser.add_argument("--folder", type=Path, default=default_folder(), help="%(default)s (COMPETITION_PRETRAINED)")
    given = parser.parse_args(arguments)
    if given.name is None:
        console.print(_table(given.folder), *(f"{entry.name}: {entry.notes}" for entry in KNOWN.values()), sep="\n")
        return
    if given.name not in KNOWN:
        raise UsageError(f"{given.name}: unknown weights.{suggest(given.name, KNOWN)}")
    mirror = given.mirror or os.environ.get("COMPETITION_MIRROR")
    print(f"{fetch(KNOWN[given.name], given.folder, given.file, mirror, given.trust_sha256)}: ready")


def default_folder() -> Path:
    """Where weights are kept: COMPETITION_PRETRAINED, or the repository's pretrained/."""
    return Path(os.environ.get("COMPETITION_PRETRAINED") or Path(__file__).resolve().parents[1] / "pretrained")


def locate(source: str) -> Path:
    """The weights file of a known name, or of a path. Never downloads.

    Raises BadCheckpoint when known weights are not in the folder, UsageError when `source` is neither name nor file.
    """
    if source in KNOWN:
        path = default_folder() / f"{source}.safetensors"
        if not path.is_file():
            raise BadCheckpoint(f"{path}: missing. Run make pretrained NAME={source}")
        return path
    if not Path(source).is_file():
        raise UsageError(f"{source}: neither a file nor known weights.{suggest(source, KNOWN)}")
    return Path(source)


def state_for(source: str, model: ModelConfig) -> weights.State:
    """float32 tensors to start `model` from: a known name, a weights file of ours, or a foreign .pth.

    Averaged weights are preferred. Whether the tensors fit is for `weights.load_state` to say. Never downloads, unless
    the source is `timm`, which does so by itself. Raises UsageError for an unknown source, BadCheckpoint for one that
    is missing, damaged or unsafe.
    """
    if source == "timm":
        if not isinstance(model, NFResUNetConfig):
            raise UsageError(f"pretrained: timm has no weights of {model.name}. Choose nf_resunet or other weights")
        return model.published()
    path = locate(source)
    if path.suffix == ".safetensors":
        content = weights.read(path)
        state = {_our_name(name, model): tensor for name, tensor in (content.ema or content.weights).items()}
        return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return _state_of(path, model)[0]


def fetch(
    entry: Entry, folder: Path, file: Path | None = None, mirror: str | None = None, trusted: str | None = None
) -> Path:
    """The converted weights FOLDER/NAME.safetensors, made on the first call only.

    The foreign file is `file`, else FOLDER/NAME.pth, else downloaded (from `mirror`, where given). `trusted` is its
    SHA-256 where the entry has none. Raises UsageError for wrong options, BadCheckpoint for whatever ails the file.
    """
    target = folder / f"{entry.name}.safetensors"
    if target.exists():
        return target
    if trusted and entry.sha256:
        raise UsageError(f"--trust-sha256: {entry.name} has a published SHA-256, {entry.sha256}. Leave the option out")
    expected = entry.sha256 or (trusted and trusted.lower())
    if file and not file.is_file():
        raise UsageError(f"--file {file}: no such file. Give the path of {entry.name}.pth")
    path = file or folder / f"{entry.name}.pth"
    if not path.exists():
        download(_address(entry, folder, mirror), path, expected)
    _verify(entry.name, path, expected)
    _convert(entry.model, path, target)
    if not file:
        path.unlink()
    return target


# ---- the foreign file -----------------------------------------------------------------------------------------------


def _address(entry: Entry, folder: Path, mirror: str | None) -> str:
    if entry.url is None:
        raise BadCheckpoint(f"{entry.name}: has no direct download. Put {entry.by_hand} into {folder} and run again")
    if mirror is None:
        return entry.url
    if not mirror.startswith(("https://", "http://")):
        raise UsageError(f"--mirror {mirror}: not an address. Write for example https://host/folder, or use --file")
    return f"{mirror.rstrip('/')}/{entry.url.rpartition('/')[2]}"


def _verify(name: str, path: Path, expected: str | None) -> None:
    """Raise BadCheckpoint unless the SHA-256 of `path` is the expected one."""
    found = sha256(path)
    if expected is None:
        raise BadCheckpoint(
            f"{path}: SHA-256 is {found}, and none was published for {name}. "
            f"Compare it with another copy, then run python -m competition.pretrained {name} --trust-sha256={found}"
        )
    if found != expected:
        raise BadCheckpoint(f"{path}: SHA-256 is {found}, expected {expected}. Replace the file and run again")


# ---- conversion -----------------------------------------------------------------------------------------------------


def _convert(model: PublishedModel, path: Path, target: Path) -> None:
    state, part = _state_of(path, model)
    network = model.build()
    print(f"{weights.load_state(network, state, str(path))}, taken from {part}")
    content = weights.Weights(network.state_dict(), {}, weights.Description(model=model))
    write_atomic(target, weights.encode(content))


def _state_of(path: Path, model: ModelConfig) -> tuple[weights.State, str]:
    """The tensors of a foreign file under `model`'s names, and the part of the file they were in."""
    content, part = foreign.read(path, windows.TABLES if isinstance(model, windows.WindowSettings) else "")
    state = {_our_name(name, model): tensor for name, tensor in content.items()}
    if len(state) < len(content):
        raise BadCheckpoint(f"{path}: holds a parameter under two names. Choose a file with weights only")
    return state, part


def _our_name(name: str, model: ModelConfig) -> str:
    """The parameter's name in this project's network, from any of the published ones."""
    name = name.removeprefix("module.")
    if not isinstance(model, RRDBSettings):
        return name
    for old, new in _RENAMED.items():
        name = re.sub(f"^{old}", new, name)
    # The network that is turned and the one that is not take each other's weights.
    name = name.removeprefix(rotation.PREFIX)
    return f"{rotation.PREFIX}{name}" if isinstance(model, rotation.RotationConfig) else name


# ---- table ----------------------------------------------------------------------------------------------------------


def _table(folder: Path) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in ("name", "network", "licence", "SHA-256", "here"):
        table.add_column(head, no_wrap=head == "name")  # of names nothing is cut off, however narrow the terminal
    for entry in KNOWN.values():
        table.add_row(
            entry.name,
            f"{entry.model.name} {_size(entry.model)} x{entry.model.scale}",
            entry.licence,
            "yes" if entry.sha256 else "no",
            "yes" if (folder / f"{entry.name}.safetensors").exists() else "no",
        )
    return table


def _size(model: PublishedModel) -> str:
    """Features, blocks and growth of an RRDBNet, channels and blocks of the others."""
    if isinstance(model, RRDBNetConfig):
        return f"{model.num_feat}/{model.num_block}/{model.num_grow_ch}"
    return f"{model.embed_dim}/{sum(model.depths)}"


if __name__ == "__main__":
    run_command(main)
