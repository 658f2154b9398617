"""SwinIR against basicsr's, its sizes, its published files, and pictures of any size."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_weights import saved
from test_models import build, picture
from torch import nn

from competition import weights
from competition.config import parse
from competition.errors import BadCheckpoint, UsageError
from competition.models.hat import HATConfig
from competition.models.swinir import SwinIRConfig
from competition.pretrained import state_for
from competition.published import KNOWN

LIGHT = SwinIRConfig(embed_dim=60, depths=(6, 6, 6, 6), upsampler="pixelshuffledirect")
SIZES: dict[str, Any] = {"embed_dim": 12, "depths": (2, 3), "num_heads": 3}


def basicsr_swinir(config: SwinIRConfig, side: int) -> Any:
    """basicsr's network, made for patches of this side, without its stochastic depth."""
    import competition.compat  # noqa: F401 (makes basicsr importable)

    module = pytest.importorskip("basicsr.archs.swinir_arch")
    sizes = {"embed_dim": config.embed_dim, "depths": config.depths, "mlp_ratio": config.mlp_ratio}
    sizes |= {"num_heads": [config.num_heads] * len(config.depths), "window_size": config.window_size}
    return module.SwinIR(side, upscale=config.scale, upsampler=config.upsampler, drop_path_rate=0, **sizes)


def pair(config: SwinIRConfig) -> tuple[nn.Module, nn.Module]:
    """Our network and basicsr's with the same weights, large enough for every branch to matter."""
    torch.manual_seed(3)
    theirs = basicsr_swinir(config, 16)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(0, 0.12)
    ours = build(config)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    return ours, theirs


@pytest.mark.parametrize(("config", "count"), [(SwinIRConfig(), 11_900_199), (LIGHT, 929_628)], ids=["M", "light"])
def test_names_shapes_and_number_are_those_of_basicsr(config: SwinIRConfig, count: int) -> None:
    theirs = {name: parameter.shape for name, parameter in basicsr_swinir(config, 16).named_parameters()}
    with torch.device("meta"):
        ours = {name: parameter.shape for name, parameter in config.build().named_parameters()}
    assert ours == theirs
    assert sum(shape.numel() for shape in ours.values()) == count


@pytest.mark.parametrize("upsampler", ["pixelshuffle", "pixelshuffledirect"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_equal_weights_give_the_output_of_basicsr(upsampler: Any, scale: Any) -> None:
    ours, theirs = (network.double() for network in pair(SwinIRConfig(**SIZES, upsampler=upsampler, scale=scale)))
    for size in ((16, 16), (8, 8), (24, 40)):  # of training, a single window, neither
        low = picture(2, 3, *size).double()
        with torch.inference_mode():
            expected, found = theirs(low), ours(low)
        assert expected.std() > 0.1
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_equal_weights_give_the_gradients_of_basicsr() -> None:
    ours, theirs = pair(SwinIRConfig(**SIZES))
    low, high = picture(2, 3, 16, 16), picture(2, 3, 64, 64)
    for network in (ours.to(memory_format=torch.channels_last), theirs):  # type: ignore[call-overload]
        nn.functional.mse_loss(network(low), high).backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        gradient = expected[name].grad
        assert parameter.grad is not None and gradient is not None
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-4 * gradient.abs().max().item(), msg=name)


@pytest.mark.parametrize("size", [(13, 9), (8, 3), (1, 1), (2, 17)])
def test_other_sizes_are_those_of_the_reflected_picture(size: tuple[int, int]) -> None:
    network, low = build(SwinIRConfig(**SIZES)).eval(), picture(1, 3, *size)
    whole = low
    for axis in (-2, -1):  # as far as a reflection reaches, then its reflection, …
        while (side := whole.shape[axis]) % 8 and side > 1:
            more = whole.flip(axis).narrow(axis, 1, min(side - 1, -side % 8))
            whole = torch.cat([whole, more], axis)
        if side == 1:
            whole = whole.repeat_interleave(8, axis)
    with torch.inference_mode():
        torch.testing.assert_close(network(low), network(whole)[..., : 4 * size[0], : 4 * size[1]], rtol=0, atol=1e-6)


def test_a_window_sees_no_pixel_of_another_border() -> None:
    """Shifting rolls the picture: what comes in at the top from the bottom must stay hidden."""
    config = SwinIRConfig(embed_dim=12, depths=(2,), num_heads=3)
    network, low = build(config).eval(), picture(1, 3, 48, 8)
    changed = low.clone()
    changed[..., -1, :] = 0  # three windows and all convolutions away from the first rows
    with torch.inference_mode():
        difference = (network(low) - network(changed)).abs().amax((0, 1, 3))
    assert difference[:48].max() == 0 and difference[-4:].max() > 0


# ---- published files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["params", "params_ema", None])
def test_published_files_load_whatever_patch_they_were_trained_on(part: str | None, tmp_path: Path) -> None:
    config, path = SwinIRConfig(**SIZES), tmp_path / "published.pth"
    theirs = basicsr_swinir(config, 48)
    state = theirs.state_dict()
    assert {"int64", "float32"} == {str(tensor.dtype).removeprefix("torch.") for tensor in state.values()}
    path.write_bytes(saved({part: state} if part else state))
    ours = build(config).eval()
    told = weights.load_state(ours, state_for(str(path), config), "given")
    assert told == f"given: {len(ours.state_dict())} of {len(ours.state_dict())} tensors loaded, 0 of the file not used"
    with torch.inference_mode():
        torch.testing.assert_close(ours(picture(1, 3, 8, 16)), theirs.eval()(picture(1, 3, 8, 16)), rtol=0, atol=1e-5)


def test_tables_in_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    config, path = SwinIRConfig(**SIZES), tmp_path / "published.pth"
    path.write_bytes(saved(build(config).state_dict() | {"layers.0.steps": torch.arange(3)}))
    with pytest.raises(BadCheckpoint, match=r"layers\.0\.steps is not dense floating numbers"):
        state_for(str(path), config)


def test_the_known_sizes_are_the_published_ones() -> None:
    assert KNOWN["SwinIR-M_x4"].model == SwinIRConfig() and KNOWN["SwinIR-S_x4"].model == LIGHT
    assert KNOWN["HAT_SRx4"].model == HATConfig()


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"embed_dim": 20, "num_heads": 6}', "model.embed_dim 20 is no multiple of model.num_heads 6"),
        ('{"window_size": 7}', "window_size: Input should be a multiple of 2"),
        ('{"depths": []}', "depths: Tuple should have at least 1 item"),
        ('{"scale": 1}', "scale: Input should be 2, 3 or 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(text: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        parse(text, SwinIRConfig, "given")
