"""The network that a word on the command line means: a run, a weights file, published weights or a plain enlarger."""

from pathlib import Path
from typing import NamedTuple, get_args

from torch import nn

from competition import pretrained, weights
from competition.errors import BadCheckpoint, UsageError
from competition.models import AnyScaleConfig, ModelConfig, PlainConfig

PLAIN = {config.model_fields["name"].default: config for config in get_args(PlainConfig)}


class Chosen(NamedTuple):
    """A network in evaluation mode, what it says of itself, and the file it came from, if any."""

    network: nn.Module
    description: weights.Description
    path: Path | None


def choose(source: str, scale: int | None = None) -> Chosen:
    """The network behind a run folder (its best weights), a weights file, a pretrained name or a plain enlarger's name.

    `scale` is for those that can enlarge by several; without it they do as their file says, plain ones by 4. Raises
    BadCheckpoint for weights that are missing or damaged, UsageError where `source` is none of these or has another
    scale.
    """
    if source in PLAIN:
        model = _at(PLAIN[source](), scale, source)
        return Chosen(model.build().eval(), weights.Description(model=model), None)
    path = Path(source) / "best.safetensors" if Path(source).is_dir() else pretrained.locate(source)
    if not path.exists():
        raise BadCheckpoint(f"{path}: missing, the run has not validated yet. Let it train on")
    network, description = weights.build_network(path)
    model = _at(description.model, scale, source)
    if model != description.model:
        state, network = network.state_dict(), model.build().eval()
        network.load_state_dict(state)
    return Chosen(network, description.model_copy(update={"model": model}), path)


def _at(model: ModelConfig, scale: int | None, source: str) -> ModelConfig:
    """The configuration of the same network at another scale."""
    if scale in (None, model.scale):
        return model
    several = isinstance(model, AnyScaleConfig | PlainConfig)
    allowed = get_args(type(model).model_fields["scale"].annotation) if several else (model.scale,)
    if scale not in allowed:
        able = " or ".join(map(str, allowed))
        raise UsageError(f"--scale: {scale}, but {source} enlarges by {able}. Leave it out or choose another")
    return model.model_copy(update={"scale": scale})
