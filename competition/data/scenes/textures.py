"""Surface textures: noise with natural spectra, masonry, plaster, asphalt, gravel and grass."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Colour = tuple[float, float, float]


def to_picture(values: Field) -> Picture:
    """Round float values on the 0..255 scale half up to uint8."""
    rounded: Field = values + np.float32(0.5)
    return rounded.clip(0, 255, out=rounded).astype(np.uint8)


def mix(first: Field, first_colour: Colour, second: Field, second_colour: Colour) -> Picture:
    """Sum of two colours (0..255 scale) weighted by fields (height, width): uint8 (height, width, 3)."""
    # Rounding to uint8 inside OpenCV, channel by channel, keeps large walls cheap.
    return np.asarray(
        cv2.merge(
            [
                cv2.addWeighted(first, one, second, two, 0, dtype=cv2.CV_8U)
                for one, two in zip(first_colour, second_colour, strict=True)
            ]
        ),
        np.uint8,
    )


def coloured(tone: Field, colour: Colour) -> Picture:
    """One colour (0..255 scale) times a tone (height, width): uint8 (height, width, 3)."""
    values = tone.astype(np.float32)
    return mix(values, colour, values, (0.0, 0.0, 0.0))


def modulate(picture: Picture, gain: Field) -> Picture:
    """Multiply a picture (height, width, 3) by a gain (height, width)."""
    share = gain.astype(np.float32)
    return np.asarray(cv2.multiply(picture, cv2.merge((share, share, share)), dtype=cv2.CV_8U), np.uint8)


def enlarge(field: Field, height: int, width: int) -> Field:
    """Resize a field bilinearly to (height, width)."""
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, coarsest: float, finest: float = 1.0, slope: float = 0.5
) -> Field:
    """Multi-octave value noise (height, width) of mean 0 and standard deviation near 0.6.

    coarsest, finest: largest and smallest cell in pixels; amplitude grows as cell ** slope.
    """
    octaves = max(int(np.log2(max(coarsest / finest, 1))), 0)
    power = sum((coarsest / 2**k) ** (2 * slope) for k in range(octaves + 1)) ** 0.5
    total = np.zeros((0, 0), np.float32)
    for k in range(octaves + 1):
        cell = coarsest / 2**k
        rows, columns = int(np.ceil(height / cell)) + 2, int(np.ceil(width / cell)) + 2
        grid = (rng.random((rows, columns), dtype=np.float32) - 0.5) * np.float32(3.46 * cell**slope / power)
        if k:
            # Each octave is added at its own size, so that the cost stays near that of the finest one.
            grid += enlarge(total, 2 * total.shape[0], 2 * total.shape[1])[1 : rows + 1, 1 : columns + 1]
        total = grid
    full = enlarge(total, int(np.ceil(total.shape[0] * cell)), int(np.ceil(total.shape[1] * cell)))
    start = int(cell / 2)
    return full[start : start + height, start : start + width]


@dataclass(frozen=True)
class Bond:
    """Coursed blocks: block width and height and joint in pixels, colours, relative deviation of tone by block.

    staggered: every other course is shifted by half a block.
    """

    block: tuple[float, float]
    joint: float
    colour: Colour
    joint_colour: Colour
    spread: float
    staggered: bool = True


def masonry(rng: np.random.Generator, bond: Bond, soiling: Field) -> Picture:
    """Wall of blocks (height, width, 3), darkened by `soiling` (height, width), a multiplier."""
    height, width = soiling.shape
    block, joint = bond.block, bond.joint
    y = (np.arange(height, dtype=np.float32) + 0.5) / block[1]
    row = y.astype(np.int32)
    rise = y - row
    edge_y = np.minimum(rise, 1 - rise) * block[1]
    x = (np.arange(width, dtype=np.float32) + 0.5)[None, :] / block[0] + np.arange(2, dtype=np.float32)[:, None] / 2
    column = x.astype(np.int32)
    edge_x = np.minimum(x - column, 1 - x + column) * block[0]
    course = row % 2 if bond.staggered else np.zeros_like(row)
    tones = (1 + bond.spread * rng.standard_normal((row[-1] + 1, int(width / block[0]) + 3))).astype(np.float32)
    tone = tones[row[:, None], column[course]]
    tone += (0.12 * (0.5 - rise))[:, None]
    tone += np.float32(0.05) * fractal_noise(rng, height, width, 16, slope=0.3)
    solid = np.minimum(edge_y[:, None], edge_x[course])
    solid = np.clip(solid - np.float32(joint / 2 - 0.5), 0, 1)
    solid *= soiling
    return mix(tone * solid, bond.colour, soiling - solid, bond.joint_colour)


def plaster(rng: np.random.Generator, colour: Colour, soiling: Field) -> Picture:
    """Rendered wall (height, width, 3) with grain and hairline cracks, darkened by `soiling` (height, width)."""
    shape = soiling.shape
    tone = 1 + np.float32(0.065) * fractal_noise(rng, shape[0], shape[1], 128, slope=-0.02)
    crack = np.abs(fractal_noise(rng, shape[0], shape[1], 256, 2, 0.9))
    region = fractal_noise(rng, shape[0], shape[1], 512, 128) > 0.35
    tone *= 1 - np.float32(0.4) * np.clip(1 - crack / 0.008, 0, 1) * region
    return coloured(tone * soiling, colour)


def soiling_of(rng: np.random.Generator, height: int, width: int, strength: float) -> Field:
    """Multiplier (height, width) up to 1 of vertical rain streaks and large stains; strength: mean darkening, 0..1."""
    streaks = fractal_noise(rng, max(height // 48, 2), width, 32, 2, 0.3)
    streaks = enlarge(streaks, height, width)
    stains = fractal_noise(rng, max(height // 4, 2), max(width // 4, 2), 64, 2)
    stains = enlarge(stains, height, width)
    dirt = np.clip(0.5 + 0.6 * streaks + 0.6 * stains, 0, 2)
    shade: Field = 1 - np.float32(strength) * dirt
    return shade


def asphalt(rng: np.random.Generator, size: int) -> Picture:
    """Square asphalt tile (size, size, 3): dark binder with small bright stones and tar repairs."""
    grain = fractal_noise(rng, size, size, 64, 1, -0.2)
    stones = fractal_noise(rng, size, size, 4, 2, -0.2)
    tone = 90 + 20 * grain + 60 * np.clip(stones - 0.55, 0, 1.5)
    cracks = np.abs(fractal_noise(rng, size, size, 256, 4, 0.8))
    tone *= 1 - 0.45 * np.clip(1 - cracks / 0.012, 0, 1)
    return coloured(tone, (1.0, 0.99, 0.98))


def paving(rng: np.random.Generator, size: int, columns: int, colour: Colour) -> Picture:
    """Square paving tile (size, size, 3) with `columns` blocks across and twice as many courses."""
    block = (size / columns, size / (2 * columns))
    dark = (colour[0] * 0.45, colour[1] * 0.45, colour[2] * 0.45)
    return masonry(rng, Bond(block, 4.0, colour, dark, 0.09), soiling_of(rng, size, size, 0.05))


def gravel(rng: np.random.Generator, size: int, spacing: int, colour: Colour) -> Picture:
    """Square seamless tile (size, size, 3) of rounded stones about `spacing` pixels across."""
    cells = size // spacing
    seeds = (rng.uniform(0.08, 0.92, (cells, cells, 2)) + np.indices((cells, cells)).transpose(1, 2, 0)) * spacing
    tones = rng.normal(1.0, 0.22, (cells, cells)).astype(np.float32)
    margin = 3
    ring = np.arange(-margin, cells + margin)
    turns = np.stack(np.meshgrid(ring // cells, ring // cells, indexing="ij"), axis=2)
    wrapped = seeds[ring[:, None] % cells, ring[None, :] % cells] + (turns * cells + margin) * spacing
    side = (cells + 2 * margin) * spacing
    spots = wrapped.reshape(-1, 2).astype(np.int32)
    empty = np.full((side, side), 255, np.uint8)
    empty[spots[:, 0], spots[:, 1]] = 0
    _, labels = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    order = np.zeros(len(spots) + 1, np.int32)
    order[labels[spots[:, 0], spots[:, 1]]] = np.arange(len(spots))
    stone = order[labels[margin * spacing : -margin * spacing, margin * spacing : -margin * spacing]]
    light = _stone_light(stone, spots - margin * spacing, spacing)
    light *= tones[ring[:, None] % cells, ring[None, :] % cells].reshape(-1)[stone]
    light *= 1 + 0.07 * fractal_noise(rng, light.shape[0], light.shape[1], 8, slope=0.1)
    stones = coloured(light, colour)
    return np.asarray(cv2.resize(stones, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _stone_light(stone: npt.NDArray[np.int32], spots: npt.NDArray[np.int32], spacing: int) -> Field:
    """Light on rounded stones from the top left, dark in the gaps; `stone` numbers the centres in `spots`."""
    inside = np.full(stone.shape, 255, np.uint8)
    inside[(stone != np.roll(stone, 1, axis=0)) | (stone != np.roll(stone, 1, axis=1))] = 0
    depth = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 3), np.float32)
    axis = np.arange(len(stone), dtype=np.float32)
    slant = (axis[:, None] + axis[None, :] - spots.sum(axis=1).astype(np.float32)[stone]) / spacing
    facing = np.float32(1) - np.float32(0.38) * slant.clip(-1.2, 1.2)
    height: Field = np.float32(0.22) + np.float32(0.78) * (depth / np.float32(0.2 * spacing)).clip(0, 1)
    return np.asarray(facing * height, np.float32)


def grass(rng: np.random.Generator, size: int, colour: Colour) -> Picture:
    """Square grass tile (size, size, 3) of overlapping blades, lighter ones on top."""
    tile = np.full((size, size, 3), np.multiply(colour, 0.35), np.uint8)
    count = size * size // 130
    for level in np.linspace(0.45, 1.25, 9):
        feet = rng.uniform(-8, size + 8, (count, 1, 2))
        tips = feet + rng.normal((0, -11), (4, 5), (count, 1, 2))
        blades = np.concatenate((feet, tips), axis=1)
        tint = np.clip(np.multiply(colour, level) * rng.uniform(0.9, 1.1, 3), 0, 255)
        lines = list((blades * 16).astype(np.int32))
        cv2.polylines(tile, lines, False, tint.tolist(), 1, cv2.LINE_AA, 4)
    return tile
