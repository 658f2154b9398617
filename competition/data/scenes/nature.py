"""Sky, trees and leaf shadows."""

from dataclasses import dataclass

import cv2
import numpy as np

from competition.data.scenes.perspective import Camera
from competition.data.scenes.textures import Colour, Field, Picture, enlarge, fractal_noise, to_picture


@dataclass(frozen=True)
class Daylight:
    """Light of one picture: sky colours (0..255), multipliers of sunny and shaded faces, share of lit windows."""

    zenith: Colour
    horizon: Colour
    cloud: Colour
    cover: float
    sun: Colour
    shade: Colour
    lit: float


_GREENS: tuple[Colour, ...] = ((92, 118, 48), (74, 104, 52), (122, 128, 50), (104, 132, 66), (166, 118, 44))
_MOODS = (
    Daylight((62, 112, 182), (186, 208, 226), (246, 247, 248), 0.1, (1.1, 1.07, 1.0), (0.56, 0.61, 0.70), 0.02),
    Daylight((128, 154, 184), (222, 224, 222), (250, 250, 248), 0.45, (1.04, 1.02, 0.98), (0.66, 0.68, 0.73), 0.05),
    Daylight((76, 104, 160), (244, 206, 158), (255, 226, 188), 0.2, (1.14, 1.0, 0.82), (0.52, 0.53, 0.64), 0.15),
    Daylight((158, 166, 176), (208, 212, 214), (232, 234, 236), 0.9, (0.95, 0.96, 0.98), (0.74, 0.76, 0.79), 0.12),
    Daylight((40, 58, 106), (226, 150, 116), (214, 132, 120), 0.3, (0.86, 0.72, 0.70), (0.44, 0.46, 0.58), 0.4),
)


def random_daylight(rng: np.random.Generator) -> Daylight:
    """One of a few weathers and hours of the day."""
    return _MOODS[rng.choice(len(_MOODS), p=(0.3, 0.22, 0.2, 0.16, 0.12))]


def leaf_colour(rng: np.random.Generator) -> Colour:
    """One of a few foliage colours, greens and an autumn brown."""
    return _GREENS[int(rng.integers(len(_GREENS)))]


def light(texture: Picture, tint: Colour, daylight: Daylight, distance: float) -> Picture:
    """Texture under a light multiplier, fading into the horizon colour with `distance` metres."""
    clear = float(np.exp(-distance / 420))
    gain = np.array(tint, np.float32) * np.float32(clear)
    veil = np.array(daylight.horizon, np.float32) * np.float32((1 - clear) * 0.92)
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = to_picture(levels * gain + veil)[None]
    return np.asarray(cv2.LUT(texture, table), np.uint8)


def draw_sky(rng: np.random.Generator, canvas: Picture, horizon: int, daylight: Daylight) -> None:
    """Paint gradient and clouds on the rows above `horizon` (and flat haze below) in place."""
    height, width = canvas.shape[:2]
    rows = max(min(horizon, height), 2)
    # The sky has no detail finer than two pixels, so half size is enough.
    tall, wide = rows // 2 + 1, width // 2
    rise = np.linspace(1, 0, tall, dtype=np.float32)[:, None] ** np.float32(0.8) + np.zeros((1, wide), np.float32)
    noise = enlarge(fractal_noise(rng, tall, wide // 3 + 1, 128, 1, 0.85), tall, wide)
    share = np.clip((noise + 2.2 * daylight.cover - 0.75) * 0.9, 0, 1) * np.float32(0.85)
    billow = 1 - np.float32(0.14) * np.clip(enlarge(noise[:-12], tall, wide), -1, 1)
    parts = cv2.merge((rise * (1 - share), (1 - rise) * (1 - share), share * billow))
    colours = np.array((daylight.zenith, daylight.horizon, daylight.cloud), np.float32).T
    sky = to_picture(np.asarray(cv2.transform(parts, colours), np.float32))
    canvas[:rows] = cv2.resize(sky, (width, rows), interpolation=cv2.INTER_LINEAR)
    canvas[rows:] = to_picture(np.array(daylight.horizon, np.float32))


def _leaf_cluster(rng: np.random.Generator, size: int, leaf: float, colour: Colour) -> tuple[Field, Field]:
    """Leaves in a ball: colours (size, size, 3) on the 0..255 scale and coverage (size, size, 1) in 0..1."""
    zoom = 2
    colours = np.full((size * zoom, size * zoom, 3), np.multiply(colour, 0.6), np.uint8)
    cover = np.zeros((size * zoom, size * zoom), np.uint8)
    count = int(0.42 * size * size / leaf**2)
    for tone in np.sort(rng.uniform(0.42, 1.45, count)):
        angle, radius = rng.uniform(0, 6.3), size * zoom * (0.5 * rng.random() ** 0.6 - 0.5 * leaf / size)
        centre = size * zoom / 2 + abs(radius) * np.array((np.cos(angle), np.sin(angle)))
        axes = (int(16 * leaf * zoom * rng.uniform(0.38, 0.6)), int(16 * leaf * zoom * rng.uniform(0.14, 0.28)))
        place = (int(centre[0] * 16), int(centre[1] * 16))
        tilt = rng.uniform(0, 180)
        ink = np.clip(np.multiply(colour, tone) + rng.normal(0, 6, 3), 0, 255)
        outline = np.asarray(cv2.ellipse2Poly(place, axes, int(tilt), 0, 360, 40), np.int32)
        cv2.fillPoly(colours, [outline], ink.tolist(), cv2.LINE_AA, 4)
        cv2.fillPoly(cover, [outline], (255,), cv2.LINE_AA, 4)
    small = cv2.resize(colours, (size, size), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32), np.asarray(alpha, np.float32)[:, :, None] / np.float32(255)


def _stamp(canvas: Picture, sprite: tuple[Field, Field], x: int, y: int, tint: Field) -> None:
    size = sprite[0].shape[0]
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + size, canvas.shape[1]), min(y + size, canvas.shape[0])
    if right <= left or bottom <= top:
        return
    part = (slice(top - y, bottom - y), slice(left - x, right - x))
    region = canvas[top:bottom, left:right]
    under = region.astype(np.float32)
    region[:] = to_picture(under + sprite[1][part] * (sprite[0][part] * tint - under))


def _grow(rng: np.random.Generator, foot: tuple[float, float], height: float, depth: int) -> Field:
    """Branches (n, 5) as x0, y0, x1, y1, thickness in pixels, trunk first."""
    branches: list[tuple[float, float, float, float, float]] = []
    front = [(foot[0], foot[1], -np.pi / 2 + rng.normal(0, 0.05), height * 0.3, height * 0.035)]
    for _ in range(depth):
        grown = []
        for x, y, angle, length, thick in front:
            tip_x, tip_y = x + length * np.cos(angle), y + length * np.sin(angle)
            branches.append((x, y, tip_x, tip_y, thick))
            forks = int(rng.choice((2, 3), p=(0.55, 0.45)))
            for turn in np.linspace(-0.55, 0.55, forks) + rng.normal(0, 0.22, forks):
                # Turning back towards the vertical keeps the crown balanced over the trunk.
                bent = angle + turn - 0.16 * np.sin(angle + np.pi / 2)
                grown.append((tip_x, tip_y, bent, length * rng.uniform(0.62, 0.86), thick * 0.66))
        front = grown
    return np.array(branches, np.float32)


def draw_tree(
    rng: np.random.Generator,
    canvas: Picture,
    foot: tuple[float, float],
    height: float,
    leaf: float,
    colour: Colour,
    daylight: Daylight,
) -> None:
    """Draw a tree in place; foot: trunk base in pixels; height, leaf: tree and leaf sizes in pixels (leaf 0: bare)."""
    branches = _grow(rng, foot, height, 6 if leaf else 9)
    bark = np.multiply((84, 72, 62), np.mean(daylight.sun))
    for x0, y0, x1, y1, thick in branches:
        ends = ((int(x0 * 16), int(y0 * 16)), (int(x1 * 16), int(y1 * 16)))
        cv2.line(canvas, *ends, (bark * 0.62).tolist(), max(round(float(thick)), 1), cv2.LINE_AA, 4)
        if thick > 3:
            lit = ((int((x0 - thick * 0.2) * 16), ends[0][1]), (int((x1 - thick * 0.2) * 16), ends[1][1]))
            cv2.line(canvas, *lit, bark.tolist(), max(round(float(thick * 0.45)), 1), cv2.LINE_AA, 4)
        for offset in rng.uniform(-0.42, 0.42, 8 if thick > 8 else 0):
            furrow = (
                (int((x0 + thick * offset) * 16), ends[0][1]),
                (int((x1 + thick * offset * 0.8) * 16), ends[1][1]),
            )
            cv2.line(canvas, *furrow, (bark * rng.uniform(0.45, 1.2)).tolist(), 1, cv2.LINE_AA, 4)
    if leaf:
        _draw_foliage(rng, canvas, branches, height, leaf, np.multiply(colour, daylight.sun))


def plant_tree(
    rng: np.random.Generator,
    canvas: Picture,
    camera: Camera,
    daylight: Daylight,
    place: tuple[float, float],
    height: float,
    leaf: float,
) -> None:
    """Draw a tree standing at world (x, z) in place; height and leaf size in metres (leaf 0: bare)."""
    foot = camera.project([(place[0], 0, place[1])])[0]
    scale = camera.pixels_per_metre(camera.depth(*place))
    # Leaves under two pixels would melt into one tone.
    size = max(leaf * scale, 2.4) if leaf else 0.0
    draw_tree(rng, canvas, (foot[0], foot[1]), height * scale, size, leaf_colour(rng), daylight)


def _draw_foliage(
    rng: np.random.Generator, canvas: Picture, branches: Field, height: float, leaf: float, colour: Field
) -> None:
    size = int(np.clip(9 * leaf, 18, 96))
    tint = (float(colour[0]), float(colour[1]), float(colour[2]))
    sprites = [_leaf_cluster(rng, size, leaf, tint) for _ in range(7)]
    tips = branches[branches[:, 4] < height * 0.016]
    count = int(np.clip(3.2 * (height / size) ** 2, 90, 1200))
    chosen = tips[rng.integers(len(tips), size=count)]
    spots = chosen[:, 2:4] + rng.normal(0, 0.04 * height, (count, 2)).astype(np.float32)
    middle, spread = spots.mean(axis=0), spots.std(axis=0) + 1
    facing = ((spots - middle) / spread) @ np.array((-0.5, -0.8), np.float32)
    order = np.argsort(facing + rng.normal(0, 0.8, count))
    for place in order:
        tone = np.clip(0.78 + 0.2 * facing[place] + rng.normal(0, 0.1), 0.35, 1.25)
        warm = np.array((tone * 1.02, tone, tone * (0.9 + 0.1 * (tone < 0.7))), np.float32)
        x, y = spots[place] - size / 2
        _stamp(canvas, sprites[rng.integers(len(sprites))], int(x), int(y), warm)


def leaf_shade(rng: np.random.Generator, height: int, width: int, cell: float) -> Field:
    """Dappled shadow multiplier (height, width) in 0.5..1 of a tree out of view; cell: crown size in pixels."""
    crown = fractal_noise(rng, height // 2 + 1, width // 2 + 1, cell / 2, 4, 0.6)
    crown = enlarge(crown, height, width)
    shade: Field = np.float32(1) - np.float32(0.48) * (crown * np.float32(1.8) + np.float32(0.1)).clip(0, 1)
    return shade
