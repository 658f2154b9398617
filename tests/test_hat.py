"""HAT against values of its authors' code, its published sizes, names and files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_weights import saved
from test_models import build, picture
from torch import nn

from competition import weights
from competition.config import parse
from competition.errors import UsageError
from competition.models.hat import HATConfig, OverlappingAttentionBlock
from competition.pretrained import state_for

SMALL = HATConfig(embed_dim=12, depths=(2, 2), num_heads=2, window_size=4, squeeze_factor=6)

MODULES = """
conv_first patch_embed.norm
layers.0.residual_group.blocks.0.norm1 layers.0.residual_group.blocks.0.attn layers.0.residual_group.blocks.0.attn.qkv
layers.0.residual_group.blocks.0.attn.proj layers.0.residual_group.blocks.0.conv_block.cab.0
layers.0.residual_group.blocks.0.conv_block.cab.2 layers.0.residual_group.blocks.0.conv_block.cab.3.attention.1
layers.0.residual_group.blocks.0.conv_block.cab.3.attention.3 layers.0.residual_group.blocks.0.norm2
layers.0.residual_group.blocks.0.mlp.fc1 layers.0.residual_group.blocks.0.mlp.fc2
layers.0.residual_group.overlap_attn layers.0.residual_group.overlap_attn.norm1
layers.0.residual_group.overlap_attn.qkv layers.0.residual_group.overlap_attn.proj
layers.0.residual_group.overlap_attn.norm2 layers.0.residual_group.overlap_attn.mlp.fc1
layers.0.residual_group.overlap_attn.mlp.fc2 layers.0.conv norm conv_after_body conv_before_upsample.0
upsample.0 upsample.2 conv_last
"""

# Mean, standard deviation and pixels (channel, line, column) of what the authors' code makes.
MEAN, DEVIATION = 0.5032063142841429, 6.041133397074032
GOLDEN = {
    (0, 0, 0): -2.015602602898026,
    (0, 15, 16): 0.5300013910157941,
    (1, 31, 47): 2.658939645071235,
    (2, 7, 33): -9.385581582953147,
    (1, 16, 3): 1.0447606657887605,
}


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 20_772_507),
        ({"embed_dim": 144, "compress_ratio": 24, "squeeze_factor": 24}, 9_621_183),
        ({"depths": (6,) * 12}, 40_846_575),
    ],
    ids=["HAT", "HAT-S", "HAT-L"],
)
def test_the_number_of_parameters(sizes: dict[str, Any], count: int) -> None:
    """20.8, 9.6 and 40.8 million in the authors' tables."""
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in HATConfig(**sizes).build().parameters()) == count


def fill(network: nn.Module) -> None:
    """Give every parameter its part of a sine, by the order of their names."""
    for number, (_, parameter) in enumerate(sorted(network.named_parameters())):
        wave = torch.sin(0.7 * torch.arange(parameter.numel(), dtype=torch.float64) + number)
        parameter.data = (0.2 * wave).view(parameter.shape)


def test_the_output_is_that_of_the_authors_code() -> None:
    """Values of hat/archs/hat_arch.py of github.com/XPixelGroup/HAT (a9ec39d), in float64, same weights and input."""
    network = SMALL.build().double().eval()
    fill(network)
    low = 0.5 + 0.5 * (0.9 * torch.arange(3 * 8 * 12, dtype=torch.float64)).cos().view(1, 3, 8, 12)
    with torch.inference_mode():
        high = network(low)
    found = [high.mean().item(), high.std().item(), *(high[0][at].item() for at in GOLDEN)]
    assert found == pytest.approx([MEAN, DEVIATION, *GOLDEN.values()], rel=1e-9)


def test_the_names_are_those_of_the_authors_code() -> None:
    network = HATConfig(embed_dim=12, depths=(1,), num_heads=2, squeeze_factor=6).build()
    assert {name.rpartition(".")[0] for name, _ in network.named_parameters()} == set(MODULES.split())
    tables = [name for name, _ in network.named_parameters() if name.endswith("relative_position_bias_table")]
    group = "layers.0.residual_group"
    assert tables == [
        f"{group}.blocks.0.attn.relative_position_bias_table",
        f"{group}.overlap_attn.relative_position_bias_table",
    ]


def test_published_files_load_without_their_tables(tmp_path: Path) -> None:
    """Files hold the indices of both kinds of windows."""
    network, path = build(SMALL), tmp_path / "HAT.pth"
    tables = {
        "relative_position_index_SA": torch.zeros(16, 16).long(),
        "relative_position_index_OCA": torch.ones(2).long(),
    }
    path.write_bytes(saved({"params_ema": network.state_dict() | tables}))
    again = build(SMALL, seed=1)
    told = weights.load_state(again, state_for(str(path), SMALL), "given")
    number = len(network.state_dict())
    assert told == f"given: {number} of {number} tensors loaded, 0 of the file not used"
    with torch.inference_mode():
        assert torch.equal(again.eval()(picture(1, 3, 5, 7)), network.eval()(picture(1, 3, 5, 7)))


def test_overlapping_windows_see_beyond_their_border_and_zeros_beyond_the_picture() -> None:
    """A quarter of a window on each side, and no further."""
    block = OverlappingAttentionBlock(12, 2, 4, 2).double()
    x = torch.rand(1, 8, 12, 12, dtype=torch.float64).requires_grad_()
    block(x)[0, :4, 4:8].sum().backward()  # the middle window of the upper three
    assert x.grad is not None
    seen = x.grad[0].abs().amax(-1) > 0
    expected = torch.zeros(8, 12, dtype=torch.bool)
    expected[:5, 3:9] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"window_size": 6}', "window_size: Input should be a multiple of 4"),
        ('{"embed_dim": 12, "squeeze_factor": 30}', "model.squeeze_factor 30 is larger than model.embed_dim 12"),
        ('{"embed_dim": 6, "compress_ratio": 7, "squeeze_factor": 2}', "model.compress_ratio 7 is larger"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(text: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        parse(text, HATConfig, "given")
