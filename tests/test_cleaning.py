"""The networks that take flares away: sizes of the papers, what a PatchGAN sees, timm's encoder and its weights."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import competition.compat  # noqa: F401 (makes timm importable)
from competition import pretrained, weights
from competition.clipping import AdaptiveConfig
from competition.errors import BadCheckpoint, UsageError
from competition.models.nf_resunet import NFResUNetConfig
from competition.models.patchgan import PatchGANConfig, opinion
from competition.models.pix2pix import Pix2PixConfig
from competition.models.resunet import ResUNetConfig
from competition.models.unet import fill, resize

TINY = NFResUNetConfig(encoder="test_nfnet", width=8)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def picture(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


# ---- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (9, 2)])
def test_a_picture_is_continued_by_its_mirror_image_and_cut_again(size):
    x = picture(1, 2, *size)
    filled = fill(x, 8)
    sides = [max(16, own + -own % 8) for own in size]
    assert list(filled.shape[-2:]) == sides
    assert torch.equal(resize(filled, *size), x)
    expected = torch.from_numpy(
        np.pad(
            x.numpy(),
            [(0, 0), (0, 0), *((0, side - own) for side, own in zip(sides, size, strict=True))],
            mode="symmetric",
        )
    )
    assert torch.equal(filled, expected)


@pytest.mark.parametrize("config", [ResUNetConfig(width=8, depth=3), TINY], ids=["resunet", "nf_resunet"])
def test_at_first_little_is_changed(config):
    torch.manual_seed(0)
    low = picture(1, 3, 33, 47)
    with torch.inference_mode():
        assert (config.build().eval()(low) - low).abs().mean() < 0.15


# ---- Pix2Pix --------------------------------------------------------------------------------------------------------


def test_generator_and_discriminator_have_the_parameters_of_the_authors_networks():
    """54.414 and 2.769 millions are what the authors' code prints for unet_256 and its basic discriminator."""
    with torch.device("meta"):
        assert parameters(Pix2PixConfig().build()) / 1e6 == pytest.approx(54.414, abs=0.001)
        assert parameters(PatchGANConfig().build()) / 1e6 == pytest.approx(2.769, abs=0.001)


@pytest.mark.parametrize(("halvings", "side"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_patch_of_the_discriminator_is_as_large_as_the_paper_says(halvings, side):
    torch.manual_seed(0)
    judge = PatchGANConfig(width=4, halvings=halvings, norm="none").build()
    low, high = (picture(1, 3, 200, 200).requires_grad_() for _ in range(2))
    logits = judge(low, high)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    for part in (low, high):
        seen = part.grad.abs().amax((0, 1))
        rows, columns = seen.amax(1).nonzero().flatten(), seen.amax(0).nonzero().flatten()
        assert rows[-1] - rows[0] + 1 == side and columns[-1] - columns[0] + 1 == side


def test_an_opinion_is_the_cross_entropy_to_its_answer():
    logits = torch.tensor([[-1.0, 0.0, 3.0]])
    probability = 1 / (1 + (-logits).exp())
    assert opinion(logits, True).item() == pytest.approx(-probability.log().mean().item(), rel=1e-5)
    assert opinion(logits, False).item() == pytest.approx(-(1 - probability).log().mean().item(), rel=1e-4)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_pix2pix_stays_within_levels(norm):
    torch.manual_seed(0)
    network = Pix2PixConfig(width=4, depth=3, norm=norm).build()
    high = network(picture(2, 3, 20, 12) * 50 - 20)
    assert high.min() >= 0 and high.max() <= 1


# ---- NF-ResUNet -----------------------------------------------------------------------------------------------------


def test_the_encoder_is_timms():
    import timm

    torch.manual_seed(0)
    ours = TINY.build().eval()
    theirs = timm.create_model("test_nfnet", features_only=True).eval()
    theirs.load_state_dict(ours.encoder.state_dict())
    x = picture(1, 3, 64, 96)
    with torch.inference_mode():
        for found, expected in zip(ours.encoder(x), theirs(x), strict=True):
            assert torch.equal(found, expected)
    assert [level.shape[-2:] for level in theirs(x)] == [(64 >> n, 96 >> n) for n in range(1, 6)]


def test_residual_branches_are_open_and_begin_small():
    gains = [value for name, value in TINY.build().encoder.named_parameters() if name.endswith("gain")]
    last = [gain for gain in gains if gain.flatten()[0] != 1]
    assert len(last) == 4 and all((gain == 0.5).all() for gain in last)


def test_adaptive_clipping_of_its_gradients_is_timms_and_holds_equation_3():
    from timm.utils.agc import adaptive_clip_grad

    torch.manual_seed(0)
    networks = [TINY.build() for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    for network in networks:
        (1e3 * network(picture(1, 3, 32, 32)).square().sum()).backward()
    AdaptiveConfig(factor=0.02).build()(list(networks[0].parameters()), 1e-3)
    adaptive_clip_grad(networks[1].parameters(), 0.02, 1e-3)
    clipped = 0
    for ours, theirs in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
        rows, grads = (x.reshape(len(x), -1) if x.ndim > 1 else x.reshape(1, -1) for x in (ours.detach(), ours.grad))
        most = 0.02 * rows.norm(dim=1).clamp(min=1e-3)
        assert (grads.norm(dim=1) <= most * 1.0001).all()
        clipped += int((grads.norm(dim=1) > most * 0.9999).sum())
    assert clipped > 100


def test_timms_weights_start_the_encoder_and_the_coverage_is_told(monkeypatch):
    import timm

    torch.manual_seed(5)
    published = timm.create_model("test_nfnet", features_only=True)
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, features_only: published)
    state = pretrained.state_for("timm", TINY)
    monkeypatch.undo()
    network = TINY.build()
    told = weights.load_state(network, state, "timm", partial=True)
    assert told.startswith(f"timm: {len(published.state_dict())} of {len(network.state_dict())} tensors loaded, 0 of")
    for name, tensor in published.state_dict().items():
        assert torch.equal(network.encoder.state_dict()[name], tensor)


def test_timms_weights_that_cannot_be_had_are_one_line(monkeypatch):
    import timm

    def offline(*arguments, **options):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BadCheckpoint, match=r"timm's weights of test_nfnet cannot be had \(no route to host\)\."):
        pretrained.state_for("timm", TINY)
    with pytest.raises(UsageError, match="timm has no weights of resunet"):
        pretrained.state_for("timm", ResUNetConfig())


def test_without_timm_only_nf_resunet_is_refused():
    script = """
import sys
sys.modules["timm"] = None
from competition.errors import UsageError
from competition.models.nf_resunet import NFResUNetConfig
from competition.models.resunet import ResUNetConfig
ResUNetConfig(width=4).build()
try:
    NFResUNetConfig().build()
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("model.name: nf_resunet needs timm (") and not done.stderr
