"""Buildings and their signs placed in a perspective view, and the outlines of ground areas."""

import numpy as np

from competition.data.scenes import signs
from competition.data.scenes.facades import draw_facade, random_facade_style
from competition.data.scenes.nature import Daylight, light
from competition.data.scenes.perspective import Camera, Points, paste, shade
from competition.data.scenes.textures import Colour, Picture

_FINEST_SCALE = 100.0


def ground_strip(camera: Camera, left: float, right: float, near: float, far: float) -> Points:
    """Picture outline of a ground rectangle in world metres."""
    return camera.project([(left, 0, far), (right, 0, far), (right, 0, near), (left, 0, near)])


def tile_size(canvas: Picture) -> int:
    """Side in pixels of the repeated ground tiles that suit a canvas."""
    return max(int(canvas.shape[0]) * 3 // 4, 256)


def draw_building(
    rng: np.random.Generator,
    canvas: Picture,
    camera: Camera,
    daylight: Daylight,
    line: tuple[tuple[float, float], tuple[float, float]],
    height: float,
    tint: Colour,
    shop: bool = False,
) -> None:
    """Draw a building face between two world (x, z) ground points, left one first."""
    (x0, z0), (x1, z1) = line
    nearest, farthest = sorted((camera.depth(x0, z0), camera.depth(x1, z1)))
    # A receding face shows few of its columns, so a slightly coarser texture loses nothing.
    oblique = 1 - 0.35 * min((farthest - nearest) / 12, 1)
    scale = min(camera.pixels_per_metre(nearest) * oblique, _FINEST_SCALE * canvas.shape[0] / 2048)
    seen = camera.height + camera.horizon / camera.focal * farthest * 1.05 + 4.5
    style = random_facade_style(rng, daylight.lit)
    width = float(np.hypot(x1 - x0, z1 - z0))
    shown = min(height, seen)
    texture = draw_facade(rng, style, width, shown, scale, shop)
    texture = light(texture, tint, daylight, nearest)
    paste(canvas, texture, camera.project([(x0, shown, z0), (x1, shown, z1), (x1, 0, z1), (x0, 0, z0)]))


def draw_corner_building(
    rng: np.random.Generator,
    canvas: Picture,
    camera: Camera,
    daylight: Daylight,
    corner: tuple[float, float],
    tall: float,
) -> None:
    """Draw both faces of one building, the same in style, meeting at the corner (x, z)."""
    x, z = corner
    style = random_facade_style(rng, daylight.lit)
    scale = min(0.8 * camera.pixels_per_metre(camera.depth(x, z)), _FINEST_SCALE * canvas.shape[0] / 2048)
    for line, width, tint in (
        (((x, z + 17), (x, z)), 17.0, daylight.shade),
        (((x, z), (x + 20, z)), 20.0, daylight.sun),
    ):
        texture = light(draw_facade(rng, style, width, tall, scale, True), tint, daylight, z)
        (x0, z0), (x1, z1) = line
        paste(canvas, texture, camera.project([(x0, tall, z0), (x1, tall, z1), (x1, 0, z1), (x0, 0, z0)]))


def hang_sign(
    rng: np.random.Generator, canvas: Picture, camera: Camera, daylight: Daylight, x: float, depth: float
) -> None:
    """Hang a vertical sign across the pavement from the wall at world x."""
    width, height, foot = rng.uniform(0.7, 1.2), rng.uniform(1.8, 4.2), rng.uniform(4.2, 7)
    scale = camera.pixels_per_metre(depth)
    board = signs.vertical_board(rng, max(int(height * scale), 8), max(int(width * scale), 4))
    left = x if x < 0 else x - width
    corners = [
        (left, foot + height, depth),
        (left + width, foot + height, depth),
        (left + width, foot, depth),
        (left, foot, depth),
    ]
    paste(canvas, light(board, (0.95, 0.95, 0.95), daylight, depth), camera.project(corners))


def mount_sign(
    rng: np.random.Generator,
    canvas: Picture,
    camera: Camera,
    daylight: Daylight,
    left: float,
    right: float,
    foot: float,
) -> None:
    width, height = rng.uniform(0.4, 0.9) * (right - left), rng.uniform(0.6, 1.2)
    start = rng.uniform(left, right - width)
    board = signs.board(rng, int(height * 110 * canvas.shape[0] / 2048), int(width * 110 * canvas.shape[0] / 2048))
    corners = [
        (start, foot + height, 14.8),
        (start + width, foot + height, 14.8),
        (start + width, foot, 14.8),
        (start, foot, 14.8),
    ]
    quad = camera.project(corners)
    shade(canvas, np.add(quad, (canvas.shape[0] / 200, canvas.shape[0] / 140)), 0.55, canvas.shape[0] / 400)
    paste(canvas, light(board, daylight.sun, daylight, 15), quad)
