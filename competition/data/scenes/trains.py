"""Trains standing on a track, seen from the front and one side."""

import cv2
import numpy as np

from competition.data.scenes.nature import Daylight, light
from competition.data.scenes.perspective import Camera, paste
from competition.data.scenes.signs import write
from competition.data.scenes.textures import Colour, Picture, coloured, soiling_of
from competition.data.scenes.windows import WindowStyle, random_window_style, window

_CARRIAGE = 19.5
_WIDTH = 2.9
_FLOOR = 0.55
_ROOF = 3.9
_LIVERIES: tuple[Colour, ...] = ((206, 210, 212), (34, 92, 158), (176, 44, 40), (38, 120, 92), (226, 182, 58))


def draw_train(
    rng: np.random.Generator, canvas: Picture, camera: Camera, daylight: Daylight, x: float, near: float
) -> None:
    """Draw a train of four carriages in place, its front `near` metres ahead on the track centred on world x."""
    livery = _LIVERIES[int(rng.integers(len(_LIVERIES)))]
    style = random_window_style(rng, daylight.lit)
    face = x - _WIDTH / 2 if x > 0 else x + _WIDTH / 2
    for start in near + _CARRIAGE * np.arange(3, -1, -1):
        scale = min(camera.pixels_per_metre(start), 70.0)
        side = light(_side(rng, style, livery, scale), daylight.shade, daylight, start)
        ends = (start + _CARRIAGE - 0.4, start) if x > 0 else (start, start + _CARRIAGE - 0.4)
        corners = [(face, _ROOF, ends[0]), (face, _ROOF, ends[1]), (face, _FLOOR, ends[1]), (face, _FLOOR, ends[0])]
        paste(canvas, side, camera.project(corners))
    front = light(_front(rng, livery, camera.pixels_per_metre(near)), daylight.sun, daylight, near)
    left, right = x - _WIDTH / 2, x + _WIDTH / 2
    corners = [(left, _ROOF, near), (right, _ROOF, near), (right, 0.2, near), (left, 0.2, near)]
    paste(canvas, front, camera.project(corners))


def _side(rng: np.random.Generator, style: WindowStyle, livery: Colour, scale: float) -> Picture:
    """Carriage side with windows, doors, a stripe and panel seams, at `scale` pixels per metre."""
    height, width = int((_ROOF - _FLOOR) * scale), int(_CARRIAGE * scale)
    picture = coloured(soiling_of(rng, height, width, 0.08), (208, 210, 210))
    for top, foot in ((0.08, 0.12), (0.62, 0.72), (0.94, 1.0)):
        cv2.rectangle(picture, (0, int(top * height)), (width, int(foot * height)), livery, -1)
    tall, wide = max(int(0.34 * height), 3), max(int(1.25 * scale), 3)
    for step in np.arange(0.5, _CARRIAGE - 1.5, 1.6):
        x, y = int(step * scale), int(0.2 * height)
        picture[y : y + tall, x : x + wide] = window(rng, tall, wide, style, scale)
        cv2.line(picture, (x - int(0.17 * scale), 0), (x - int(0.17 * scale), height), (120, 122, 122), 1)
    return picture


def _front(rng: np.random.Generator, livery: Colour, scale: float) -> Picture:
    """Front of the leading carriage: windscreen, lamps, number, coupling, at `scale` pixels per metre."""
    height, width = max(int((_ROOF - 0.2) * scale), 8), max(int(_WIDTH * scale), 8)
    picture = coloured(soiling_of(rng, height, width, 0.08), livery)
    style = WindowStyle((40, 40, 42), 2, 1, 0.0, 0.0, 0.0)
    top, foot, inset = int(0.16 * height), int(0.5 * height), int(0.09 * width)
    picture[top:foot, inset : width - inset] = window(rng, foot - top, width - 2 * inset, style, scale)
    write(
        picture,
        f"K {rng.integers(1000, 9999)}",
        (width // 4, height // 30, width // 2, height // 10),
        (250, 240, 180),
        "sans",
        700,
    )
    for side in (0.16, 0.84):
        centre = (int(side * width), int(0.62 * height))
        cv2.circle(picture, centre, max(int(0.13 * scale), 2), (40, 40, 42), -1, cv2.LINE_AA)
        cv2.circle(picture, centre, max(int(0.1 * scale), 1), (250, 246, 226), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (0, int(0.8 * height)), (width, height), (52, 52, 54), -1)
    cv2.rectangle(
        picture, (int(0.44 * width), int(0.78 * height)), (int(0.56 * width), int(0.9 * height)), (90, 86, 82), -1
    )
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (60, 60, 62), max(int(0.03 * scale), 1))
    return picture
