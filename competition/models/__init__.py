"""The networks: one file each, chosen by name through one union."""

from typing import Annotated

from pydantic import Field

from competition.models.bicubic import BicubicConfig
from competition.models.rrdbnet import RRDBNetConfig

# A new network is one file in this folder and one name here.
ModelConfig = Annotated[RRDBNetConfig | BicubicConfig, Field(discriminator="name")]
