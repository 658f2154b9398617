"""The networks: one file each, chosen by name through one union."""

from typing import Annotated

from pydantic import Field

from competition.models.bicubic import BicubicConfig
from competition.models.bodies import BodiesConfig
from competition.models.gated import GatedConfig
from competition.models.hat import HATConfig
from competition.models.rotation import RotationConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.models.swinir import SwinIRConfig

# A new network is one file in this folder and one name here.
ModelConfig = Annotated[
    RRDBNetConfig | BicubicConfig | RotationConfig | BodiesConfig | GatedConfig | SwinIRConfig | HATConfig,
    Field(discriminator="name"),
]
