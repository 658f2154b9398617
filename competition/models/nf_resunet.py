"""NF-ResUNet: the decoder of ResUNet on an encoder without normalisation, one of timm's NFNets."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from competition.config import Config
from competition.errors import BadCheckpoint, UsageError
from competition.models.convolution import convolve
from competition.models.unet import Correction, Decoder, ResidualBlock, fill, resize

# Those of timm's that halve the picture five times and have published weights.
Encoder = Literal[
    "test_nfnet", "nfnet_l0", "eca_nfnet_l0", "eca_nfnet_l1", "eca_nfnet_l2", "nf_regnet_b1", "nf_resnet50",
    "dm_nfnet_f0", "dm_nfnet_f1", "dm_nfnet_f2", "dm_nfnet_f3",
]  # fmt: skip
_HALVINGS = 5


class NFResUNetConfig(Config):
    """Brock et al., "High-performance large-scale image recognition without normalization", ICML 2021, as encoder.

    Convolutions with standardised weights (their equation 1) keep the variance of features where others normalise
    batches; `clip: {name: adaptive}` (equation 3) belongs to it. `pretrained: timm` with `pretrained_partial: true`
    starts from timm's published weights of the encoder.
    """

    name: Literal["nf_resunet"] = "nf_resunet"
    encoder: Encoder = "dm_nfnet_f0"
    """Name of the encoder in timm."""
    width: int = Field(32, ge=1)
    """Channels of the decoder at the picture's size; they double at each of five levels, up to the encoder's own."""
    scale: Literal[1] = 1
    """Enlargement factor."""

    def build(self) -> "NFResUNet":
        """Raises UsageError where timm is not installed."""
        return NFResUNet(_timm_encoder(self.encoder), self.width)

    def published(self) -> dict[str, Tensor]:
        """timm's weights of the encoder under this network's names, from its cache or downloaded by timm.

        Raises BadCheckpoint where they cannot be had.
        """
        try:
            state = _timm_encoder(self.encoder, pretrained=True).state_dict()
        except (OSError, RuntimeError) as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            mend = "Connect to the internet once, or start from scratch with pretrained=null"
            raise BadCheckpoint(
                f"pretrained: timm's weights of {self.encoder} cannot be had ({cause}). {mend}"
            ) from error
        return {f"encoder.{name}": tensor for name, tensor in state.items()}


class NFResUNet(nn.Module):
    """y = x + f(x), f an NFNet's features after each halving and the decoder that joins them."""

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Any, width: int) -> None:
        """`encoder` maps a picture to the features after each of five halvings, as timm's `features_only` does."""
        super().__init__()
        self.encoder = encoder
        found = encoder.feature_info.channels()
        channels = [width] + [min(count, width * 2**level) for level, count in enumerate(found, 1)]
        self.register_buffer("mean", _colour(encoder, "mean"), persistent=False)
        self.register_buffer("std", _colour(encoder, "std"), persistent=False)
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.block = ResidualBlock(width, width)
        self.narrow = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in zip(found, channels[1:], strict=True))
        self.decoder = Decoder(channels)
        self.last = Correction(width)

    def forward(self, low: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] to the same shape, about [0, 1] and not clipped."""
        x = (fill(low, 2**_HALVINGS) - self.mean) / self.std
        levels = [self.block(convolve(self.first, x))]
        levels += [narrow(level) for narrow, level in zip(self.narrow, self.encoder(x), strict=True)]
        correction = self.last(self.decoder(levels))
        return low + resize(correction, *low.shape[-2:])


def _timm_encoder(name: str, pretrained: bool = False) -> Any:
    import competition.compat  # noqa: F401 (makes timm importable)

    try:
        import timm
    except ImportError as error:
        raise UsageError(f"model.name: nf_resunet needs timm ({error}). Install timm or choose resunet") from error
    encoder = timm.create_model(name, pretrained=pretrained, features_only=True)
    if not pretrained:
        _open_branches(encoder)
    return encoder


@torch.no_grad()
def _open_branches(encoder: Any) -> None:
    """Let residual branches begin at 1/sqrt(their number) where timm closes them with a gain of zero.

    De and Smith, "Batch normalization biases residual blocks towards the identity function", NeurIPS 2020, section 4:
    either trains well. Open ones learn from the first step on.
    """
    blocks = [module for module in encoder.modules() if hasattr(module, "skipinit_gain")]
    closed = [block.conv3.gain if block.skipinit_gain is None else block.skipinit_gain for block in blocks]
    for gain in closed:
        gain.fill_(len(closed) ** -0.5)


def _colour(encoder: Any, what: str) -> Tensor:
    """Mean or deviation of the pictures that timm trained the encoder on, (1, 3, 1, 1)."""
    return torch.tensor(encoder.pretrained_cfg[what]).view(1, 3, 1, 1)
