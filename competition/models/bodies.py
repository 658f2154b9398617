"""RRDBNet with bodies of RRDBs behind its doublings too, where they see more pixels."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from competition.models.convolution import convolve
from competition.models.recompute import Blocks
from competition.models.rrdbnet import RRDB, RRDBNet, RRDBSettings


class BodiesConfig(RRDBSettings):
    """Input, bodies of RRDBs, doublings (U) and output: I-R-U-R-U-O, or as many R as have blocks.

    RRDBNet is I-R-U-U-O. A block costs 4 times as much behind the first doubling and 16 times behind the second. From
    RRDBNet's weights (with `pretrained_partial`) it starts within a few thousandths of that network.
    """

    name: Literal["bodies"] = "bodies"
    num_block_up1: int = Field(2, ge=0)
    """Blocks of the body behind the first doubling; 0 leaves it out."""
    num_block_up2: int = Field(0, ge=0)
    """Blocks of the body behind the second doubling; 0 leaves it out. More than 0 make I-R-U-R-U-R-O."""

    def build(self) -> RRDBNet:
        sizes = self.num_feat, self.num_block, self.num_grow_ch, self.scale
        return RRDBNet(*sizes, body_up1=self._body(self.num_block_up1), body_up2=self._body(self.num_block_up2))

    def _body(self, num_block: int) -> nn.Module | None:
        return Body(self.num_feat, num_block, self.num_grow_ch) if num_block else None


class Body(nn.Module):
    """RRDBs and a convolution around one long skip, as RRDBNet's first body is."""

    def __init__(self, num_feat: int, num_block: int, num_grow_ch: int) -> None:
        super().__init__()
        self.blocks = Blocks(RRDB(num_feat, num_grow_ch) for _ in range(num_block))
        self.conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        with torch.no_grad():  # begins as almost nothing beside the skip, so that RRDBNet's weights keep their sense
            for parameter in self.conv.parameters():
                parameter.mul_(1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) to the same shape."""
        return x + convolve(self.conv, self.blocks(x))
