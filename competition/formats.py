"""What contests want handed in: forms of file, and how pictures are named in them."""

from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field

from competition.config import Config


class PngZipConfig(Config):
    """A zip with the PNGs at its top."""

    name: Literal["png_zip"] = "png_zip"

    @property
    def suffix(self) -> str:
        """How the name of the file ends."""
        return ".zip"

    def label(self, picture: str) -> str:
        """What a picture, by its file name, is called in the file."""
        return picture


class _CsvConfig(Config):
    """A CSV with a row for each picture: its name, and one cell that holds it."""

    name: str
    columns: tuple[str, str]
    """Names of the two columns."""
    extension: bool = True
    """Whether names end in .png."""

    @property
    def suffix(self) -> str:
        """How the name of the file ends."""
        return ".csv"

    def label(self, picture: str) -> str:
        """What a picture, by its file name, is called in the file."""
        return picture if self.extension else PurePath(picture).stem


class Base64CsvConfig(_CsvConfig):
    """A CSV with a row for each picture: its name, and its PNG in base64 (RFC 4648)."""

    name: Literal["base64_csv"] = "base64_csv"
    columns: tuple[str, str] = ("image", "png")
    """Names of the two columns."""


class PixelsCsvConfig(_CsvConfig):
    """A CSV with a row for each picture: its name, and its values 0 to 255 in one cell.

    They go row by row from the top, pixel by pixel from the left, red green blue, with a space between.
    """

    name: Literal["pixels_csv"] = "pixels_csv"
    columns: tuple[str, str] = ("image", "pixels")
    """Names of the two columns."""


CsvConfig = Base64CsvConfig | PixelsCsvConfig
FormatConfig = Annotated[PngZipConfig | Base64CsvConfig | PixelsCsvConfig, Field(discriminator="name")]
