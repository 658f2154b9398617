"""Whole façades drawn head-on: walls of several materials with floors of windows."""

from dataclasses import dataclass

import cv2
import numpy as np

from competition.data.scenes.textures import (
    Bond,
    Colour,
    Field,
    Picture,
    fractal_noise,
    masonry,
    modulate,
    plaster,
    soiling_of,
    to_picture,
)
from competition.data.scenes.windows import (
    WindowStyle,
    add_cooler,
    add_railing,
    random_window_style,
    shop_front,
    window,
)

_MATERIALS = ("brick", "plaster", "panel", "tile", "stone", "curtain")
_COLOURS: dict[str, tuple[Colour, ...]] = {
    "brick": ((150, 78, 58), (128, 66, 54), (172, 122, 86), (110, 84, 74), (190, 168, 140)),
    "plaster": ((222, 210, 186), (206, 190, 168), (190, 196, 190), (226, 196, 160), (198, 160, 132)),
    "panel": ((186, 184, 178), (160, 162, 164), (204, 198, 188), (120, 124, 130)),
    "tile": ((206, 204, 196), (182, 158, 132), (150, 128, 110), (176, 186, 182)),
    "stone": ((196, 184, 160), (172, 166, 156), (148, 140, 130)),
    "curtain": ((96, 122, 142), (110, 132, 132), (78, 98, 122)),
}


@dataclass(frozen=True)
class FacadeStyle:
    """Look of one façade; lengths in metres, `opening` as width and height shares of a bay."""

    material: str
    colour: Colour
    floor: float
    bay: float
    opening: tuple[float, float]
    windows: WindowStyle
    ledges: bool
    balconies: float
    coolers: float
    dirt: float


def random_facade_style(rng: np.random.Generator, lit: float, material: str | None = None) -> FacadeStyle:
    """Façade style; lit: share (0..1) of lit windows; material: a wall material, drawn at random when None."""
    chosen = material or str(rng.choice(_MATERIALS, p=(0.28, 0.2, 0.17, 0.15, 0.1, 0.1)))
    colours = _COLOURS[chosen]
    return FacadeStyle(
        material=chosen,
        colour=colours[rng.integers(len(colours))],
        floor=rng.uniform(2.9, 3.7),
        bay=rng.uniform(1.8, 3.6),
        opening=(rng.uniform(0.45, 0.8), rng.uniform(0.48, 0.66)),
        windows=random_window_style(rng, lit),
        ledges=bool(rng.random() < 0.55),
        balconies=rng.choice((0.0, 0.0, 0.35, 0.8)),
        coolers=rng.choice((0.0, 0.12, 0.3)),
        dirt=rng.uniform(0.03, 0.16),
    )


def draw_facade(
    rng: np.random.Generator, style: FacadeStyle, width: float, height: float, scale: float, shop: bool = False
) -> Picture:
    """Façade texture of `width` x `height` metres at `scale` pixels per metre; floors count from the ground.

    Returns uint8 RGB (height * scale, width * scale, 3). shop: the ground floor is a row of shops.
    """
    shape = (max(int(height * scale), 4), max(int(width * scale), 4))
    if style.material == "curtain":
        picture = _curtain_wall(rng, style, shape, scale)
    else:
        picture = _wall(rng, style, soiling_of(rng, *shape, style.dirt), scale)
        _place_windows(rng, style, picture, scale, 4.2 if shop else 0.8)
    if shop:
        _place_shops(rng, picture, scale)
    return picture


def _wall(rng: np.random.Generator, style: FacadeStyle, soiling: Field, scale: float) -> Picture:
    colour = style.colour
    dark = (colour[0] * 0.6, colour[1] * 0.6, colour[2] * 0.6)
    if style.material == "plaster":
        return plaster(rng, colour, soiling)
    metres, joint, ink, spread = {
        "brick": ((0.24, 0.08), 0.014, (186.0, 178.0, 166.0), 0.12),
        "panel": ((1.2, 0.8), 0.02, dark, 0.035),
        "tile": ((0.16, 0.08), 0.008, dark, 0.06),
        "stone": ((0.75, 0.36), 0.016, dark, 0.07),
    }[style.material]
    # Blocks under three pixels would alias; a coarser course stands in for them at a distance.
    coarser = max(1.0, 3.2 / (metres[1] * scale))
    block = (metres[0] * scale * coarser, metres[1] * scale * coarser)
    staggered = style.material in ("brick", "stone")
    return masonry(rng, Bond(block, max(joint * scale, 0.8), colour, ink, spread / coarser, staggered), soiling)


def _place_windows(rng: np.random.Generator, style: FacadeStyle, picture: Picture, scale: float, start: float) -> None:
    height, width = picture.shape[:2]
    bays = max(round(width / scale / style.bay), 1)
    bay, floor = width / bays, style.floor * scale
    wide, tall = int(bay * style.opening[0]), int(floor * style.opening[1])
    if wide < 3 or tall < 3:
        return
    variants = [window(rng, tall, wide, style.windows, scale) for _ in range(min(9, max(4, bays)))]
    foot = height - start * scale
    while foot > floor * 0.18 + tall:
        if style.ledges:
            _ledge(picture, int(foot + 0.25 * floor * (1 - style.opening[1])), scale)
        for i in range(bays):
            x, y = int(i * bay + (bay - wide) / 2), int(foot - floor * 0.18 - tall)
            variant = variants[rng.integers(len(variants))]
            tone = rng.uniform(0.86, 1.1)
            picture[y : y + tall, x : x + wide] = to_picture(variant * np.float32(tone))
            _dress_window(rng, style, picture, (x, y, wide, tall), scale)
        foot -= floor


def _dress_window(
    rng: np.random.Generator, style: FacadeStyle, picture: Picture, box: tuple[int, int, int, int], scale: float
) -> None:
    """Add the sill with its stain, and perhaps a balcony or a cooler, to a window box (x, y, width, height)."""
    x, y, wide, tall = box
    foot, sill = y + tall, max(int(0.06 * scale), 1)
    out = int(0.08 * scale)
    left, right = max(x - out, 0), min(x + wide + out, picture.shape[1])
    stain = picture[foot + sill : foot + sill + int(0.4 * scale), left:right]
    fall = np.linspace(0.62, 1, max(len(stain), 1), dtype=np.float32)[: len(stain), None, None]
    stain[:] = to_picture(stain * fall)
    cv2.rectangle(picture, (left, foot), (right - 1, foot + sill - 1), (206, 202, 194), -1)
    if scale < 14:
        return
    if rng.random() < style.balconies:
        add_railing(picture, left, right, foot, scale, (70, 72, 74))
    elif rng.random() < style.coolers:
        add_cooler(rng, picture, left, foot + sill, scale)


def _ledge(picture: Picture, y: int, scale: float) -> None:
    thick = max(int(0.14 * scale), 1)
    if y - thick < 0:
        return
    band = picture[y - thick : y]
    band[:] = to_picture(np.float32(30) + band * np.float32(0.95))
    picture[y : y + thick] = to_picture(picture[y : y + thick] * np.float32(0.6))


def _curtain_wall(rng: np.random.Generator, style: FacadeStyle, shape: tuple[int, int], scale: float) -> Picture:
    """Glass grid whose panes mirror the sky, each tilted a little differently."""
    pane = (style.bay * scale / 2, style.floor * scale / 2)
    bond = Bond(pane, max(0.07 * scale, 1), style.colour, (170.0, 174.0, 178.0), 0.16, False)
    wall = masonry(rng, bond, np.ones(shape, np.float32))
    clouds = fractal_noise(rng, *shape, max(shape) / 3, 2, 0.9)
    rise = np.linspace(0.35, -0.25, shape[0], dtype=np.float32)[:, None]
    is_glass = (wall[:, :, 0] < 150).astype(np.float32)
    wall = modulate(wall, np.float32(1) + is_glass * (rise + np.float32(0.28) * clouds))
    bands = np.mod(np.arange(shape[0], 0, -1) / (style.floor * scale), 1.0) < 0.22
    wall[bands] = to_picture(wall[bands] * np.float32(0.72))
    return wall


def _place_shops(rng: np.random.Generator, picture: Picture, scale: float) -> None:
    if scale < 4:
        return
    height, width = picture.shape[:2]
    tall = min(int(3.9 * scale), height)
    x = 0
    while width - x > scale:
        wide = min(int(rng.uniform(3.2, 6.0) * scale), width - x)
        if width - x - wide < 2 * scale:
            wide = width - x
        gap = max(int(0.12 * scale), 1)
        picture[height - tall :, x + gap : x + wide - gap] = shop_front(rng, tall, wide - 2 * gap, scale)
        x += wide
