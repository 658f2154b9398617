"""The networks: one file each, chosen by name through one union."""

from typing import Annotated

from pydantic import Field

from competition.models.area import AreaConfig
from competition.models.bicubic import BicubicConfig
from competition.models.bilinear import BilinearConfig
from competition.models.bodies import BodiesConfig
from competition.models.gated import GatedConfig
from competition.models.hat import HATConfig
from competition.models.lanczos import LanczosConfig
from competition.models.nearest import NearestConfig
from competition.models.nf_resunet import NFResUNetConfig
from competition.models.pix2pix import Pix2PixConfig
from competition.models.rdn import RDNConfig
from competition.models.rdtn import RDTNConfig
from competition.models.resunet import ResUNetConfig
from competition.models.rotation import RotationConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.models.srcnn import SRCNNConfig
from competition.models.swinir import SwinIRConfig
from competition.models.vdsr import VDSRConfig

# Enlargers without weights; their names are members wherever a network can be named.
PlainConfig = NearestConfig | BilinearConfig | BicubicConfig | LanczosConfig | AreaConfig

# Their weights serve every scale, which may be given to `forward`.
AnyScaleConfig = SRCNNConfig | VDSRConfig

RRDBNetVariant = RRDBNetConfig | RotationConfig | BodiesConfig | GatedConfig

# They take away what lies over a picture and leave its size; pix2pix is for train_gan.
CleaningConfig = ResUNetConfig | NFResUNetConfig | Pix2PixConfig

# A new network is one file in this folder and one name here.
ModelConfig = Annotated[
    RRDBNetVariant | RDNConfig | RDTNConfig | SwinIRConfig | HATConfig | CleaningConfig | AnyScaleConfig | PlainConfig,
    Field(discriminator="name"),
]
