"""Lens flares drawn by rule: the light that a bright source scatters and reflects within a lens.

Light adds up before a camera makes levels of it: picture = clip(scene + flare) in linear light, after Wu et al., "How
to train neural networks for flare removal", ICCV 2021, equation 1; the kinds of light are those of Dai et al.,
"Flare7K", NeurIPS 2022, section 3. Lengths are shares of the picture's longer side, places lie around its middle.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from competition.images import Bytes

Plane = npt.NDArray[np.float64]
Colour = tuple[float, float, float]


class Glow(NamedTuple):
    """Light around a place that falls off as strength / (1 + (distance / radius)^2)^1.5."""

    x: float
    y: float
    radius: float
    colour: Colour

    def shape(self, x: Plane, y: Plane) -> Plane:
        """1 at its place."""
        squares = ((x - self.x) ** 2 + (y - self.y) ** 2) / self.radius**2
        return np.asarray((1 + squares) ** -1.5)


class Streak(NamedTuple):
    """A line through a place, `width` thick, that falls to 1/e at `length` from it."""

    x: float
    y: float
    angle: float
    length: float
    width: float
    colour: Colour

    def shape(self, x: Plane, y: Plane) -> Plane:
        """1 at its place."""
        along = (x - self.x) * np.cos(self.angle) + (y - self.y) * np.sin(self.angle)
        across = (y - self.y) * np.cos(self.angle) - (x - self.x) * np.sin(self.angle)
        return np.asarray(np.exp(-np.abs(along) / self.length - (across / self.width) ** 2))


class Ghost(NamedTuple):
    """A reflected image of the aperture: an even disc whose edge, `soft` wide, is a little brighter."""

    x: float
    y: float
    radius: float
    soft: float
    colour: Colour

    def shape(self, x: Plane, y: Plane) -> Plane:
        """About 1 inside, 0 outside."""
        distance = np.hypot(x - self.x, y - self.y)
        inside = 1 / (1 + np.exp(np.clip((distance - self.radius) / self.soft, -50, 50)))
        return np.asarray(inside * (0.7 + 0.3 * np.minimum(distance / self.radius, 1) ** 4))


class Veil(NamedTuple):
    """Stray light over the whole picture, `tilt` of it more on one side and less on the other."""

    angle: float
    tilt: float
    colour: Colour

    def shape(self, x: Plane, y: Plane) -> Plane:
        """1 in the middle of the picture."""
        return np.asarray(1 + 2 * self.tilt * (x * np.cos(self.angle) + y * np.sin(self.angle)))


Part = Glow | Streak | Ghost | Veil


def draw_flare(seed: int, number: int, attempt: int = 0) -> list[Part]:
    """The parts of a flare: the same for the same seed, number and attempt, whatever picture they are laid on."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, attempt, number, 0]))
    x, y = generator.uniform(-0.5, 0.5, 2)
    strength = generator.uniform(0.25, 0.9)
    tint = _tint(generator, 0.25)
    parts: list[Part] = [
        Glow(x, y, generator.uniform(0.01, 0.03), _times(tint, 2 * strength)),
        Glow(x, y, generator.uniform(0.08, 0.3), _times(tint, 0.5 * strength)),
        Veil(generator.uniform(0, 2 * np.pi), generator.uniform(0, 0.7), _times(tint, generator.uniform(0, 0.06))),
    ]
    return [*parts, *_streaks(generator, x, y, _times(tint, strength)), *_ghosts(generator, x, y, strength)]


def light(parts: list[Part], height: int, width: int) -> Plane:
    """The flare's linear light, (height, width, 3), 0 or more; 1 is what makes a black pixel white."""
    longer = max(height, width)
    y, x = np.mgrid[:height, :width] + 0.5
    x, y = (x - width / 2) / longer, (y - height / 2) / longer
    return np.asarray(sum(part.shape(x, y)[..., None] * np.array(part.colour) for part in parts))


def lay_on(picture: Bytes, parts: list[Part]) -> Bytes:
    """The picture, uint8 RGB (H, W, 3), as it comes out of a lens with this flare: never darker, clipped at white."""
    total = _linear(picture / 255) + light(parts, *picture.shape[:2])
    return np.asarray(np.floor(_levels(total.clip(0, 1)) * 255 + 0.5), np.uint8)


def _streaks(generator: np.random.Generator, x: float, y: float, colour: Colour) -> list[Part]:
    """A star of equal angles through the source; every second flare has one wide line, as of an anamorphic lens."""
    count, turn = generator.integers(2, 7), generator.uniform(0, np.pi)
    width, length = generator.uniform(0.003, 0.008), generator.uniform(0.05, 0.25, count)
    angles = turn + np.pi * np.arange(count) / count
    star = [Streak(x, y, a, b, width, _times(colour, 0.7)) for a, b in zip(angles, length, strict=True)]
    wide = Streak(x, y, generator.normal(0, 0.05), generator.uniform(0.3, 0.8), 0.01, _times(colour, 0.5))
    return [*star, wide] if generator.random() < 0.5 else [*star]


def _ghosts(generator: np.random.Generator, x: float, y: float, strength: float) -> list[Part]:
    """Coloured discs on the line from the source through the middle, where lenses throw them."""
    found: list[Part] = []
    for place in generator.uniform(-1.3, 0.8, generator.integers(2, 8)):
        radius = generator.uniform(0.015, 0.09)
        colour = _times(_tint(generator, 0.8), strength * generator.uniform(0.05, 0.25))
        found.append(Ghost(place * x, place * y, radius, radius * generator.uniform(0.03, 0.15), colour))
    return found


def _tint(generator: np.random.Generator, spread: float) -> Colour:
    """A colour whose strongest channel is 1, the others at most `spread` less."""
    channels = 1 - spread * generator.random(3)
    red, green, blue = (channels / channels.max()).tolist()
    return red, green, blue


def _times(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _linear(levels: Plane) -> Plane:
    """sRGB levels in [0, 1] as linear light; IEC 61966-2-1."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def _levels(linear: Plane) -> Plane:
    """The inverse of `_linear`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
