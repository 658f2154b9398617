"""RRDBNet that looks at a picture from four sides: the mean over four rotations, in training as in inference."""

from typing import Literal

from torch import Tensor, nn

from competition.geometry import apply_symmetry, invert_symmetry
from competition.models.recompute import Blocks
from competition.models.rrdbnet import RRDBNet, RRDBSettings

ROTATIONS = ("e", "r90", "r180", "r270")
PREFIX = "turned.0."
"""What stands before the names of RRDBNet's parameters."""


class RotationConfig(RRDBSettings):
    """Self-ensemble (Timofte et al., CVPR 2016) over the rotations alone, with gradients through all four.

    As many parameters as RRDBNet (16,697,987), four times its work. `recompute: true` keeps less than one rotation
    needs instead of four.
    """

    name: Literal["rotation"] = "rotation"

    def build(self) -> "Rotation":
        return Rotation(RRDBNet(self.num_feat, self.num_block, self.num_grow_ch, self.scale))


class Rotation(nn.Module):
    """f(x) = 1/4 of the sum over k = 0…3 of R^-k g(R^k x): R turns by 90 degrees, g is a network.

    Turning the input turns the output: f(R x) = R f(x).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.turned = Blocks([network])

    def forward(self, low: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [0, 1] to (N, 3, scale*H, scale*W), about [0, 1] and not clipped."""
        turns = (invert_symmetry(self.turned(apply_symmetry(low, name)), name) for name in ROTATIONS)
        high = next(turns)
        for turn in turns:
            high = high + turn
        return high / len(ROTATIONS)
