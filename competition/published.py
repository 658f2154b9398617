"""The published weights that are known by name: their networks, licences and addresses."""

from typing import NamedTuple

from competition.models.hat import HATConfig
from competition.models.rrdbnet import RRDBNetConfig
from competition.models.swinir import SwinIRConfig

PublishedModel = RRDBNetConfig | SwinIRConfig | HATConfig


class Entry(NamedTuple):
    """Weights known by name."""

    name: str
    model: PublishedModel
    licence: str
    notes: str
    """What they were trained for and where they were published."""
    url: str | None = None
    """Address of the file; None where there is no direct download."""
    sha256: str | None = None
    """SHA-256 of the file in lower-case hexadecimal; None where nobody published it."""
    by_hand: str = ""
    """The file to put into the folder, and where it is found, when there is no direct download."""


_RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"
_SWINIR = "https://github.com/JingyunLiang/SwinIR/releases/download/v0.0"

KNOWN = {
    entry.name: entry
    for entry in (
        Entry(
            name="RealESRNet_x4plus",
            model=RRDBNetConfig(),
            licence="BSD-3-Clause",
            notes="Mean error on synthetic camera and web damage; a good start for fine-tuning. Real-ESRGAN, 2021",
            url=f"{_RELEASES}/v0.1.1/RealESRNet_x4plus.pth",
        ),
        Entry(
            name="RealESRGAN_x4plus",
            model=RRDBNetConfig(),
            licence="BSD-3-Clause",
            notes="Natural look, adversarial, on synthetic camera and web damage. Real-ESRGAN, 2021",
            url=f"{_RELEASES}/v0.1.0/RealESRGAN_x4plus.pth",
            sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        ),
        Entry(
            name="RealESRGAN_x4plus_anime_6B",
            model=RRDBNetConfig(num_block=6),
            licence="BSD-3-Clause",
            notes="Drawings, adversarial. Real-ESRGAN, 2021",
            url=f"{_RELEASES}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
            sha256="f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        ),
        Entry(
            name="RRDB_PSNR_x4",
            model=RRDBNetConfig(),
            licence="Apache-2.0",
            notes="PSNR on MATLAB's bicubic reduction, DIV2K and Flickr2K. ESRGAN, 2018",
            by_hand="RRDB_PSNR_x4.pth from the Google Drive folder linked at https://github.com/xinntao/ESRGAN",
        ),
        Entry(
            name="SwinIR-M_x4",
            model=SwinIRConfig(),
            licence="Apache-2.0",
            notes="PSNR on MATLAB's bicubic reduction, DIV2K and Flickr2K. SwinIR, 2021",
            url=f"{_SWINIR}/001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth",
        ),
        Entry(
            name="SwinIR-S_x4",
            model=SwinIRConfig(embed_dim=60, depths=(6, 6, 6, 6), upsampler="pixelshuffledirect"),
            licence="Apache-2.0",
            notes="The light SwinIR: PSNR on MATLAB's bicubic reduction, DIV2K. SwinIR, 2021",
            url=f"{_SWINIR}/002_lightweightSR_DIV2K_s64w8_SwinIR-S_x4.pth",
        ),
        Entry(
            name="HAT_SRx4",
            model=HATConfig(),
            licence="Apache-2.0",
            notes="PSNR on MATLAB's bicubic reduction, DIV2K and Flickr2K. HAT, 2023",
            by_hand="HAT_SRx4.pth from the folders linked at https://github.com/XPixelGroup/HAT",
        ),
        Entry(
            name="mini_x4",
            model=RRDBNetConfig(num_feat=32, num_block=4, num_grow_ch=16),
            licence="MIT",
            notes="A small network of this project, shipped with it",
            by_hand="mini_x4.safetensors from this project's repository",
        ),
    )
}
