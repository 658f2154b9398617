"""RRDBNet with gated convolutions: beside each convolution another one says how much of it passes."""

from typing import Literal

import torch
from torch import Tensor, nn

from competition.models.convolution import activate, convolve
from competition.models.rrdbnet import ResidualDenseBlock, RRDBNet, RRDBSettings


class GatedConfig(RRDBSettings):
    """Gates as in van den Oord et al., "WaveNet", 2016, equation 2, and Salimans et al., "PixelCNN++", ICLR 2017.

    33,244,739 parameters at RRDBNet's default size: the dense blocks have twice as many. From RRDBNet's weights (with
    `pretrained_partial`) it starts as that network.
    """

    name: Literal["gated"] = "gated"

    def build(self) -> RRDBNet:
        return RRDBNet(self.num_feat, self.num_block, self.num_grow_ch, self.scale, dense_block=GatedDenseBlock)


class GatedDenseBlock(nn.Module):
    """ESRGAN's dense block of y = 2 s(V * x) · a(W * x), where s is the sigmoid and a the leaky ReLU, last none.

    V begins as zero, where 2 s = 1: the block begins as the one without gates.
    """

    def __init__(self, num_feat: int, num_grow_ch: int) -> None:
        super().__init__()
        plain = ResidualDenseBlock(num_feat, num_grow_ch)
        self.conv1, self.gate1 = plain.conv1, _neutral_gate(plain.conv1)
        self.conv2, self.gate2 = plain.conv2, _neutral_gate(plain.conv2)
        self.conv3, self.gate3 = plain.conv3, _neutral_gate(plain.conv3)
        self.conv4, self.gate4 = plain.conv4, _neutral_gate(plain.conv4)
        self.conv5, self.gate5 = plain.conv5, _neutral_gate(plain.conv5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_feat, H, W) to the same shape."""
        convs = (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5)
        gates = (self.gate1, self.gate2, self.gate3, self.gate4, self.gate5)
        features = [x]
        for conv, gate in zip(convs, gates, strict=True):
            seen = torch.cat(features, 1)
            value = convolve(conv, seen)
            value = value if conv is self.conv5 else activate(value)
            features.append(2 * torch.sigmoid(convolve(gate, seen)) * value)
        return torch.add(x, features[-1], alpha=0.2)


def _neutral_gate(conv: nn.Conv2d) -> nn.Conv2d:
    gate = nn.Conv2d(conv.in_channels, conv.out_channels, 3, padding=1)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    return gate
