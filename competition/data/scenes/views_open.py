"""Open city views: park before a skyline, railway yard and fenced gravel yard."""

import numpy as np

from competition.data.scenes import street
from competition.data.scenes.buildings import draw_building, ground_strip, tile_size
from competition.data.scenes.nature import Daylight, draw_sky, plant_tree
from competition.data.scenes.perspective import Camera, paste_ground, shade
from competition.data.scenes.textures import Picture, grass, gravel, paving
from competition.data.scenes.trains import draw_train


def park_skyline(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Towers behind a park with trees, lawn, path and railing."""
    size = canvas.shape[0]
    camera = Camera(size * rng.uniform(0.9, 1.3), size * 0.5, size * rng.uniform(0.6, 0.72), rng.uniform(1.8, 4.5))
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    _draw_towers(rng, canvas, camera, daylight)
    lawn = grass(rng, tile_size(canvas), (98, 122, 52))
    paste_ground(canvas, camera, lawn, 5.0, ground_strip(camera, -400, 400, 1.0, 160), rng)
    slabs = paving(rng, tile_size(canvas), 8, (182, 172, 158))
    bend = rng.uniform(-3, 3)
    path = camera.project([(bend * 4 - 2, 0, 90), (bend * 4 + 2, 0, 90), (bend + 2.2, 0, 1), (bend - 2.2, 0, 1)])
    paste_ground(canvas, camera, slabs, 3.2, path, rng)
    for depth in (120.0, 112.0, 104.0, 97.0, 90.0, 80.0, 70.0, 60.0, 48.0, 36.0, 29.0):
        x = rng.uniform(-0.55, 0.55) * depth * size / camera.focal
        x += 3.5 * np.sign(x - bend) if abs(x - bend) < 4 else 0
        shadow = ground_strip(camera, x - 1, x + 5, depth - 1.2, depth + 1.2)
        shade(canvas, shadow, 0.6, max(0.25 * camera.pixels_per_metre(depth), 1))
        plant_tree(rng, canvas, camera, daylight, (x, depth), rng.uniform(8, 12), 0.09)
    street.draw_railing(canvas, camera, ((-30, 24), (30, 19)), 1.1, (58, 62, 60))


def _draw_towers(rng: np.random.Generator, canvas: Picture, camera: Camera, daylight: Daylight) -> None:
    """Draw rows of tower blocks, the farthest first."""
    for depth in (420.0, 300.0, 210.0, 150.0):
        span = depth * 0.62 * canvas.shape[0] / camera.focal
        x = -span
        while x < span:
            width = rng.uniform(16, 38)
            if rng.random() < 0.8:
                tint = daylight.sun if rng.random() < 0.6 else daylight.shade
                tall = depth * rng.uniform(0.08, 0.36) + 12
                draw_building(rng, canvas, camera, daylight, ((x, depth), (x + width, depth)), tall, tint)
                flank = ((x + width, depth), (x + width + 3, depth + 16))
                draw_building(rng, canvas, camera, daylight, flank, tall, daylight.shade)
            x += width + rng.uniform(4, 20)


def railway(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Tracks on ballast under gantries and contact wires, towards a town."""
    size = canvas.shape[0]
    camera = Camera(
        size * rng.uniform(0.8, 1.1),
        size * rng.uniform(0.35, 0.65),
        size * rng.uniform(0.42, 0.55),
        rng.uniform(3.2, 6.0),
    )
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    for _ in range(14):
        x, depth, width = rng.uniform(-90, 90), rng.uniform(140, 260), rng.uniform(12, 30)
        draw_building(
            rng, canvas, camera, daylight, ((x, depth), (x + width, depth)), rng.uniform(10, 45), daylight.sun
        )
    stones = gravel(rng, tile_size(canvas), 16, (150, 138, 124))
    paste_ground(canvas, camera, stones, 4.2, ground_strip(camera, -300, 300, 1.0, 400), rng)
    tracks = [float(x) for x in np.arange(-9.0, 10.0, 4.5) + rng.uniform(0.8, 3.2)]
    for x in tracks:
        shade(canvas, ground_strip(camera, x - 1.7, x + 1.7, 1.0, 200), 0.78, size / 300)
        street.draw_track(canvas, camera, x, 2.0, 150.0)
    draw_train(rng, canvas, camera, daylight, float(rng.choice(tracks)), rng.uniform(22, 45))
    wall_x = float(rng.choice((-1, 1))) * 15.5
    for depth in np.arange(120, 12, -18.0):
        line = ((wall_x, depth - 18), (wall_x, depth))
        draw_building(
            rng, canvas, camera, daylight, line if wall_x < 0 else line[::-1], rng.uniform(4, 15), daylight.shade
        )
    street.draw_railing(canvas, camera, ((-wall_x * 0.92, 120), (-wall_x * 0.92, 6)), 1.5, (120, 128, 122))
    spacing = rng.uniform(22, 34)
    for depth in np.arange(6 * spacing, 12, -spacing):
        street.draw_gantry(canvas, camera, 13.6, float(depth), 7.4)
    for x in tracks:
        for level in (5.6, 6.7):
            ends = camera.project([(x, level, 170), (x, level, 1.2)])
            street.draw_cable(canvas, ends, 0.0, (38, 38, 40), 1 + (level < 6))
        for depth in np.arange(150, 6, -9.0):
            street.draw_cable(canvas, camera.project([(x, 5.6, depth), (x, 6.7, depth)]), 0.0, (48, 48, 50), 1)


def yard(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Gravel yard with a chain-link fence, trees and house backs behind it."""
    size = canvas.shape[0]
    camera = Camera(size * rng.uniform(0.9, 1.2), size * 0.5, size * rng.uniform(0.42, 0.52), rng.uniform(1.6, 2.2))
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    x = -24.0
    while x < 24:
        width = rng.uniform(7, 14)
        draw_building(rng, canvas, camera, daylight, ((x, 24.0), (x + width, 24.0)), rng.uniform(6, 17), daylight.sun)
        x += width + float(rng.choice((0.0, 2.5)))
    lawn = grass(rng, tile_size(canvas), (104, 116, 56))
    paste_ground(canvas, camera, lawn, 3.5, ground_strip(camera, -60, 60, 1.0, 24), rng)
    for depth in (16.0, 12.5, 10.5)[: int(rng.integers(1, 4))]:
        leaf = float(rng.choice((0.0, 0.06, 0.08)))
        plant_tree(rng, canvas, camera, daylight, (rng.uniform(-0.4, 0.4) * depth, depth), rng.uniform(5, 8), leaf)
    stones = gravel(rng, tile_size(canvas), int(rng.integers(14, 26)), (168, 160, 148))
    paste_ground(canvas, camera, stones, rng.uniform(1.6, 2.6), ground_strip(camera, -60, 60, 0.6, 8.2), rng)
    top, foot_line = camera.project([(0, 2.3, 8.0), (0, 0.0, 8.0)])[:, 1]
    shade(
        canvas,
        np.array(((0, foot_line), (size, foot_line), (size, foot_line + size * 0.02), (0, foot_line + size * 0.02))),
        0.7,
        size / 300,
    )
    box = (0, max(int(top), 0), size, int(foot_line - top))
    street.draw_mesh_fence(canvas, box, 0.075 * camera.pixels_per_metre(8.0), (176, 182, 180), int(rng.integers(3, 6)))
    if rng.random() < 0.6:
        street.draw_railing(canvas, camera, ((-1.8, 8.0), (-1.1, 2.2)), 1.0, (66, 70, 74))
