"""The networks: one file each, chosen by name through one union."""

from typing import Annotated

from pydantic import Field

from competition.models.bicubic import BicubicConfig
from competition.models.nf_resunet import NFResUNetConfig
from competition.models.pix2pix import Pix2PixConfig
from competition.models.resunet import ResUNetConfig
from competition.models.rrdbnet import RRDBNetConfig

# They take away what lies over a picture and leave its size; pix2pix is for train_gan.
CleaningConfig = ResUNetConfig | NFResUNetConfig | Pix2PixConfig

# A new network is one file in this folder and one name here.
ModelConfig = Annotated[RRDBNetConfig | CleaningConfig | BicubicConfig, Field(discriminator="name")]
