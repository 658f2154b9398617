"""City views between buildings: street canyon, façade, row of shops and street corner."""

from itertools import pairwise

import numpy as np

from competition.data.scenes import street
from competition.data.scenes.buildings import (
    draw_building,
    draw_corner_building,
    ground_strip,
    hang_sign,
    mount_sign,
    tile_size,
)
from competition.data.scenes.facades import draw_facade, random_facade_style
from competition.data.scenes.nature import Daylight, draw_sky, draw_tree, leaf_colour, leaf_shade, light, plant_tree
from competition.data.scenes.perspective import Camera, paste, paste_ground, shade
from competition.data.scenes.textures import Picture, asphalt, modulate, paving


def canyon(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Street between two rows of shops, seen along its axis."""
    size = canvas.shape[0]
    camera = Camera(
        size * rng.uniform(0.7, 0.95),
        size * rng.uniform(0.38, 0.62),
        size * rng.uniform(0.55, 0.66),
        rng.uniform(1.7, 3.2),
    )
    half = rng.uniform(5.5, 8.5)
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    draw_building(rng, canvas, camera, daylight, ((-14, 130), (14, 130)), rng.uniform(20, 45), daylight.shade)
    kerb = half - rng.uniform(1.8, 2.8)
    slabs = paving(rng, tile_size(canvas), 10, (168, 160, 150))
    paste_ground(canvas, camera, slabs, 4.0, ground_strip(camera, -half, half, 0.9, 130), rng)
    paste_ground(canvas, camera, asphalt(rng, tile_size(canvas)), 2.3, ground_strip(camera, -kerb, kerb, 0.9, 130), rng)
    _street_lines(canvas, camera, kerb)
    _draw_walls(rng, canvas, camera, daylight, half, 125)
    side = float(rng.choice((-1, 1)))
    shade(canvas, ground_strip(camera, side * half, side * rng.uniform(-1, 1.5), 0.9, 130), 0.55, size / 400)
    for depth in np.arange(rng.uniform(50, 60), 9, -rng.uniform(6, 9)):
        street.draw_car(rng, canvas, camera, side * (kerb - 1.1), float(depth))
    tree_side = -side * (half - 1.4)
    for depth in (62.0, 44.0, 30.0, 20.0)[: int(rng.integers(1, 5))]:
        plant_tree(rng, canvas, camera, daylight, (tree_side, depth), rng.uniform(5.5, 7.5), 0.07)
    street.draw_pole_line(rng, canvas, camera, side * (kerb + 0.6), [96, 70, 48, 31, 19, 10.5], 9.5)


def _draw_walls(
    rng: np.random.Generator, canvas: Picture, camera: Camera, daylight: Daylight, half: float, far: float
) -> None:
    """Line both sides of a street with buildings and their projecting signs, far to near."""
    sunny = int(rng.choice((-1, 1)))
    for side in (-1, 1):
        tint = daylight.sun if side == sunny else daylight.shade
        depth = far
        nearest = half * camera.focal / camera.centre * 0.8
        while depth > nearest:
            front = max(depth - rng.uniform(8, 14) * (1 + depth / 80), nearest * 0.95)
            height = rng.uniform(9, 32)
            if front > 1.6 * nearest:
                gable = sorted((side * half, side * (half + 6)))
                draw_building(
                    rng, canvas, camera, daylight, ((gable[0], front), (gable[1], front)), height, daylight.shade
                )
            line = ((side * half, front), (side * half, depth))
            draw_building(rng, canvas, camera, daylight, line if side < 0 else line[::-1], height, tint, True)
            for _ in range(int(rng.integers(1, 4))):
                hang_sign(rng, canvas, camera, daylight, side * half, rng.uniform(front + 0.5, depth))
            depth = front


def _street_lines(canvas: Picture, camera: Camera, kerb: float) -> None:
    """Paint the kerb stones, the edge lines and the dashed middle line of a road."""
    for side in (-1, 1):
        shade(canvas, ground_strip(camera, side * kerb, side * (kerb + 0.18), 0.9, 120), 1.3, 0.6)
        shade(canvas, ground_strip(camera, side * kerb, side * (kerb - 0.06), 0.9, 120), 0.5, 0.8)
        shade(canvas, ground_strip(camera, side * (kerb - 0.5), side * (kerb - 0.62), 0.9, 120), 1.9, 0.6)
    for depth in np.arange(2, 90, 6.0):
        shade(canvas, ground_strip(camera, -0.07, 0.07, depth, depth + 3), 2.1, 0.6)


def close_facade(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """One façade filling the frame, slightly turned, with leaf shadows and cables in front."""
    size = canvas.shape[0]
    style = random_facade_style(rng, daylight.lit, str(rng.choice(("brick", "tile", "plaster", "stone"))))
    width, height = rng.uniform(13, 22), rng.uniform(13, 20)
    shop = bool(rng.random() < 0.5)
    texture = draw_facade(rng, style, width, height, size / min(width, height) * 1.02, shop)
    shadow = leaf_shade(rng, texture.shape[0], texture.shape[1], size / rng.uniform(5, 12))
    edge = np.linspace(-1, 1.4, texture.shape[1], dtype=np.float32) * float(rng.choice((-1, 1)))
    fade = np.clip(edge, 0, 1)[None, :]
    texture = light(modulate(texture, 1 + fade * (shadow - 1)), daylight.sun, daylight, 10)
    lean = size * rng.uniform(0.02, 0.16, 4)
    quad = np.array(
        ((-lean[0], -lean[1]), (size + lean[2], -lean[3]), (size + lean[1], size + lean[0]), (-lean[3], size + lean[2]))
    )
    paste(canvas, texture, quad)
    for _ in range(int(rng.integers(3, 9))):
        ends = np.array(((-20, rng.uniform(0, 0.6) * size), (size + 20, rng.uniform(0, 0.6) * size)))
        tone = rng.uniform(18, 60)
        street.draw_cable(canvas, ends, rng.uniform(0.01, 0.1) * size, (tone, tone, tone), int(rng.integers(1, 5)))
    if rng.random() < 0.5:
        draw_tree(
            rng,
            canvas,
            (rng.uniform(0.05, 0.95) * size, size * 1.1),
            size * rng.uniform(0.5, 0.8),
            float(rng.choice((0.0, 7.0))),
            leaf_colour(rng),
            daylight,
        )


def shop_row(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Shops across the street seen at a slant, with many signs and cables."""
    size = canvas.shape[0]
    camera = Camera(
        size * rng.uniform(1.0, 1.3),
        size * 0.5,
        size * rng.uniform(0.66, 0.76),
        1.8,
        rng.uniform(0.25, 0.55) * float(rng.choice((-1, 1))),
    )
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    slabs = paving(rng, tile_size(canvas), 12, (160, 152, 146))
    paste_ground(canvas, camera, slabs, 3.6, np.array(((0.0, 0.0), (size, 0.0), (size, size), (0.0, size))), rng)
    middle = 15 * np.tan(camera.yaw)
    edges = [middle - 26.0]
    while edges[-1] < middle + 24:
        edges.append(edges[-1] + rng.uniform(6, 11))
    for left, right in sorted(pairwise(edges), key=lambda pair: -abs(pair[0] + pair[1])):
        tall = rng.uniform(8, 19)
        draw_building(rng, canvas, camera, daylight, ((left, 15.0), (right, 15.0)), tall, daylight.sun, True)
        for foot in np.arange(4.5, tall - 1.5, rng.uniform(2.2, 3.6)):
            mount_sign(rng, canvas, camera, daylight, left, right, float(foot))
    road = asphalt(rng, tile_size(canvas))
    outline = camera.project([(-60, 0, 11.5), (60, 0, 11.5)])
    paste_ground(canvas, camera, road, 2.3, np.concatenate((outline, ((size, size * 1.5), (0.0, size * 1.5)))), rng)
    street.draw_railing(canvas, camera, ((-middle - 20, 11.8), (middle + 20, 11.8)), 1.0, (196, 198, 198))
    for _ in range(int(rng.integers(6, 14))):
        ends = np.array(((-20, rng.uniform(0, 0.5) * size), (size + 20, rng.uniform(0, 0.5) * size)))
        street.draw_cable(canvas, ends, rng.uniform(0.01, 0.12) * size, (28, 28, 30), int(rng.integers(1, 4)))
    street.draw_pole(canvas, camera, (middle + rng.uniform(-3, 3), 11.0), 10.5)


def corner(rng: np.random.Generator, canvas: Picture, daylight: Daylight) -> None:
    """Corner building in two-point perspective at a crossing."""
    size = canvas.shape[0]
    camera = Camera(
        size * rng.uniform(0.75, 1.0),
        size * rng.uniform(0.4, 0.6),
        size * rng.uniform(0.62, 0.74),
        rng.uniform(1.7, 2.6),
        rng.uniform(0.5, 0.95),
    )
    draw_sky(rng, canvas, int(camera.horizon), daylight)
    depth = rng.uniform(15, 20)
    turning = (depth * np.sin(camera.yaw), depth * np.cos(camera.yaw))
    slabs = paving(rng, tile_size(canvas), 9, (164, 158, 150))
    paste_ground(canvas, camera, slabs, 3.4, np.array(((0.0, 0.0), (size, 0.0), (size, size), (0.0, size))), rng)
    gap = rng.uniform(8, 12)
    _draw_blocks(rng, canvas, camera, daylight, turning, gap)
    x, z = turning
    road = [(x + 40, z - 3.5), (x - 3.0, z - 3.5), (x - 3.0, z + 90)]
    road += [(x - gap + 2, z + 90), (x - gap + 2, z - 3.5), (x - 30, z - 3.5)]
    outline = camera.project([(across, 0.0, ahead) for across, ahead in road])
    outline = np.concatenate((outline, ((-0.2 * size, size * 1.5), (size * 1.2, size * 1.5))))
    paste_ground(canvas, camera, asphalt(rng, tile_size(canvas)), 2.3, outline, rng)
    for step in np.arange(0, 7.5, 1.1):
        shade(canvas, ground_strip(camera, x + 2 + step, x + 2.55 + step, z - 8.0, z - 4.6), 1.9, 0.7)
    for spot in ((x - 1.6, z + 14), (x + 11, z - 2.2)):
        plant_tree(rng, canvas, camera, daylight, spot, rng.uniform(5, 7), 0.075)
    hooks = street.draw_pole(canvas, camera, (x - 1.2, z - 1.8), 9.5)
    for hook in hooks:
        for edge in (-20.0, size + 20.0):
            ends = np.stack((hook, (edge, size * rng.uniform(0.1, 0.5))))
            street.draw_cable(canvas, ends, size * rng.uniform(0.005, 0.03), (26, 26, 28), int(rng.integers(1, 4)))


def _draw_blocks(
    rng: np.random.Generator,
    canvas: Picture,
    camera: Camera,
    daylight: Daylight,
    turning: tuple[float, float],
    gap: float,
) -> None:
    """Draw the corner building at `turning` (x, z) and its neighbours beyond it and over a side street."""
    x, z = turning
    side = [((x, z + 75), (x, z + 46)), ((x, z + 46), (x, z + 17))]
    front = [((x - gap - 24, z), (x - gap, z)), ((x + 20, z), (x + 38, z))]
    for line in side:
        draw_building(rng, canvas, camera, daylight, line, rng.uniform(10, 24), daylight.shade, True)
    for line in front:
        draw_building(rng, canvas, camera, daylight, line, rng.uniform(10, 24), daylight.sun, True)
    draw_corner_building(rng, canvas, camera, daylight, turning, rng.uniform(14, 28))
