"""Street and railway furniture drawn in perspective: cables, poles, railings, fences, tracks and cars."""

import cv2
import numpy as np

from competition.data.scenes.perspective import Camera, Points, fill, shade
from competition.data.scenes.signs import write
from competition.data.scenes.textures import Colour, Picture, coloured


def draw_cable(canvas: Picture, ends: Points, sag: float, colour: Colour, thick: int) -> None:
    """Hang a cable between two picture positions (2, 2), `sag` pixels deep, in place."""
    steps = np.linspace(0, 1, 40)[:, None]
    curve = ends[0] + (ends[1] - ends[0]) * steps
    curve[:, 1] += 4 * sag * (steps * (1 - steps))[:, 0]
    points = np.round(np.clip(curve, -20000, 20000) * 16).astype(np.int32)
    cv2.polylines(canvas, [points], False, colour, thick, cv2.LINE_AA, 4)


def draw_cylinder(canvas: Picture, x: float, top: float, foot: float, width: float, colour: Colour) -> None:
    """Draw an upright post lit from the left in place; all lengths in pixels."""
    wide = max(round(width), 2)
    left, first, last = round(x - width / 2), max(round(top), 0), min(round(foot), canvas.shape[0])
    start, stop = max(left, 0), min(left + wide, canvas.shape[1])
    if start >= stop or first >= last:
        return
    across = np.linspace(-1, 1, wide, dtype=np.float32)
    tone = 0.45 + 0.75 * np.sqrt(np.clip(1 - (across + 0.35) ** 2 / 1.85, 0.02, 1))
    # Irrational frequencies give the post a grain without a random stream of its own.
    grain = np.sin(np.arange(first, last) ** 1.37 * 2.399)[:, None] * np.sin(np.arange(wide) * 4.51 + 1)[None, :]
    strip = coloured(tone[None, :] * (1 + 0.05 * grain), colour)
    canvas[first:last, start:stop] = strip[:, start - left : stop - left]


def draw_pole(canvas: Picture, camera: Camera, place: tuple[float, float], height: float) -> Points:
    """Draw a utility pole at world (x, z); returns the six insulator positions (6, 2) in pixels."""
    foot, top = camera.project([(place[0], 0, place[1]), (place[0], height, place[1])])
    scale = (foot[1] - top[1]) / height
    draw_cylinder(canvas, top[0], top[1], foot[1], 0.3 * scale, (142, 138, 130))
    hooks = []
    for drop in (0.4, 1.3):
        y = top[1] + drop * scale
        arm = np.array(((-1.1, 0.0), (1.1, 0.0), (1.1, 0.1), (-1.1, 0.1))) * scale + (top[0], y)
        fill(canvas, arm, (72, 72, 74))
        for offset in (-0.95, 0.3, 0.95):
            draw_cylinder(canvas, top[0] + offset * scale, y - 0.22 * scale, y, 0.1 * scale, (196, 190, 180))
            hooks.append((top[0] + offset * scale, y - 0.22 * scale))
    tank = (top[1] + 1.7 * scale, top[1] + 2.7 * scale)
    draw_cylinder(canvas, top[0] + 0.4 * scale, *tank, 0.55 * scale, (150, 154, 152))
    for band in (3.2, 3.5, 4.6):
        y = round(top[1] + band * scale)
        half = round(0.17 * scale)
        cv2.line(
            canvas, (round(top[0]) - half, y), (round(top[0]) + half, y), (60, 60, 62), max(round(0.03 * scale), 1)
        )
    return np.array(hooks)


def draw_pole_line(
    rng: np.random.Generator, canvas: Picture, camera: Camera, x: float, depths: list[float], height: float
) -> None:
    """Draw poles at the given depths (metres, far to near) and the cables between them in place."""
    hooks = draw_pole(canvas, camera, (x, depths[0]), height)
    for depth in depths[1:]:
        earlier, hooks = hooks, draw_pole(canvas, camera, (x, depth), height)
        for start, end in zip(earlier, hooks, strict=True):
            sag = camera.pixels_per_metre(depth) * rng.uniform(0.2, 0.7)
            tone = rng.uniform(20, 60)
            draw_cable(canvas, np.stack((start, end)), sag, (tone, tone, tone), 1 + (depth < 14))
        low = np.add((earlier[4], hooks[4]), (0, 1.6 * camera.pixels_per_metre(depth)))
        draw_cable(canvas, low, camera.pixels_per_metre(depth) * 0.8, (26, 26, 28), 2)
    for hook in hooks:
        end = np.array(
            (hook[0] + np.sign(x) * canvas.shape[1] * 0.6, hook[1] - canvas.shape[0] * rng.uniform(0.2, 0.5))
        )
        draw_cable(canvas, np.stack((hook, end)), 30, (34, 34, 36), 2)


def draw_railing(
    canvas: Picture,
    camera: Camera,
    line: tuple[tuple[float, float], tuple[float, float]],
    height: float,
    colour: Colour,
) -> None:
    """Draw a bar railing between two world (x, z) points, the farther one first, in place."""
    ends = np.array(line, np.float64)
    length = float(np.linalg.norm(ends[1] - ends[0]))
    count = int(length / 0.13)
    spots = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, count + 1)[:, None]
    feet = camera.project(np.stack((spots[:, 0], np.full(count + 1, 0.08), spots[:, 1]), axis=1))
    tops = camera.project(np.stack((spots[:, 0], np.full(count + 1, height), spots[:, 1]), axis=1))
    dark = (colour[0] * 0.55, colour[1] * 0.55, colour[2] * 0.55)
    for i, (foot, top) in enumerate(zip(feet, tops, strict=True)):
        width = (foot[1] - top[1]) / height * (0.06 if i % 16 == 0 else 0.02)
        ink = colour if width > 1 else dark
        points = np.round(np.stack((foot, top)) * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, ink, max(round(width), 1), cv2.LINE_AA, 4)
        if width > 2.5:
            edge = points + np.array((round(width * 8), 0), np.int32)
            cv2.polylines(canvas, [edge], False, dark, max(round(width / 3), 1), cv2.LINE_AA, 4)
    for low, high in ((0.12, 0.17), (height - 0.14, height - 0.10), (height - 0.03, height + 0.03)):
        (x0, z0), (x1, z1) = line
        bar = camera.project([(x0, high, z0), (x1, high, z1), (x1, low, z1), (x0, low, z0)])
        fill(canvas, bar, colour)


def draw_mesh_fence(canvas: Picture, box: tuple[int, int, int, int], pitch: float, colour: Colour, posts: int) -> None:
    """Draw a chain-link fence facing the camera in a box (x, y, width, height), `pitch` pixels per mesh, in place."""
    x, y, width, height = box
    region = canvas[y : y + height, x : x + width]
    height, width = region.shape[:2]
    dark = (colour[0] * 0.5, colour[1] * 0.5, colour[2] * 0.5)
    for offset, ink in ((1.4, dark), (0.0, colour)):
        starts = np.arange(-height, width + height, pitch) + offset
        falling = np.array([((s, 0), (s + height, height)) for s in starts])
        rising = np.array([((s, height), (s + height, 0)) for s in starts])
        lines = list(np.round(np.concatenate((falling, rising)) * 16).astype(np.int32))
        cv2.polylines(region, lines, False, ink, 1, cv2.LINE_AA, 4)
    for wire in (0.03, 0.5, 0.97):
        cv2.line(region, (0, int(height * wire)), (width, int(height * wire)), colour, 2, cv2.LINE_AA)
    for i in range(posts):
        draw_cylinder(canvas, x + (i + 0.5) * width / posts, y - pitch, y + height + pitch, pitch * 0.55, colour)


def draw_track(canvas: Picture, camera: Camera, x: float, near: float, far: float) -> None:
    """Draw a railway track of standard gauge centred on world x, from `near` to `far` metres, in place."""
    for depth in np.arange(far, near, -0.62):
        corners = [
            (x - 1.28, 0.04, depth + 0.13),
            (x + 1.28, 0.04, depth + 0.13),
            (x + 1.28, 0.04, depth - 0.13),
            (x - 1.28, 0.04, depth - 0.13),
        ]
        tone = 118 + 26 * np.sin(depth * 7.1) + 12 * np.sin(depth * 23.7)
        quad = camera.project(corners)
        fill(canvas, quad, (tone, tone * 0.96, tone * 0.9))
        face = camera.project([*corners[3:1:-1], (x + 1.28, -0.1, depth - 0.13), (x - 1.28, -0.1, depth - 0.13)])
        fill(canvas, face, (tone * 0.45, tone * 0.42, tone * 0.4))
        for side in (-0.72, 0.72):
            clip = camera.project(
                [
                    (x + side - 0.14, 0.07, depth),
                    (x + side + 0.14, 0.07, depth),
                    (x + side + 0.14, 0.04, depth - 0.07),
                    (x + side - 0.14, 0.04, depth - 0.07),
                ]
            )
            fill(canvas, clip, (78, 62, 50))
    for side in (-0.72, 0.72):
        for half, low, high, colour in (
            (0.06, 0.04, 0.07, (84, 60, 46)),
            (0.02, 0.06, 0.18, (62, 46, 38)),
            (0.036, 0.18, 0.2, (206, 210, 214)),
        ):
            rail = camera.project(
                [
                    (x + side - half, high, far),
                    (x + side + half, high, far),
                    (x + side + half, low, near),
                    (x + side - half, low, near),
                ]
            )
            fill(canvas, rail, colour)


def draw_gantry(canvas: Picture, camera: Camera, half: float, depth: float, height: float) -> None:
    """Draw a lattice portal over the tracks, from -half to half metres across at `depth`, in place."""
    colour = (104, 110, 112) if depth < 60 else (132, 138, 142)
    thick = max(round(0.05 * camera.pixels_per_metre(depth)), 1)
    xs, ys = np.arange(-half, half + 0.1, 0.7), np.arange(0, height, 0.6)
    beam = [((x, height), (x, height + 0.7)) for x in xs]
    braces = [((x, height + 0.7 * (i % 2)), (x + 0.7, height + 0.7 * (1 - i % 2))) for i, x in enumerate(xs[:-1])]
    chords = [((-half, height + up), (half, height + up)) for up in (0.0, 0.7)]
    legs = [((side * half - 0.2, y), (side * half + 0.2, y + 0.6)) for side in (-1, 1) for y in ys]
    posts = [((x, 0.0), (x, height + 0.7)) for side in (-half, half) for x in (side - 0.2, side + 0.2)]
    pieces = beam + braces + chords + legs + posts
    for start, end in pieces:
        points = camera.project([(start[0], start[1], depth), (end[0], end[1], depth)])
        cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, colour, thick, cv2.LINE_AA, 4)


def draw_car(rng: np.random.Generator, canvas: Picture, camera: Camera, x: float, depth: float) -> None:
    """Draw the back of a parked car at world (x, depth) in place."""
    scale = camera.pixels_per_metre(depth)
    foot = camera.project([(x, 0, depth)])[0]
    paints: tuple[Colour, ...] = ((226, 228, 230), (38, 40, 44), (150, 154, 158), (128, 24, 28), (30, 54, 104))
    paint = paints[rng.integers(len(paints))]

    def at(outline: tuple[tuple[float, float], ...]) -> Points:
        mirrored = outline + tuple((-px, py) for px, py in reversed(outline))
        return np.array([(foot[0] + px * scale, foot[1] - py * scale) for px, py in mirrored])

    shade(canvas, at(((-0.98, -0.16), (-0.95, 0.14))), 0.35, 0.05 * scale)
    for side in (-1, 1):
        tyre = np.array(((0.52, 0), (0.82, 0), (0.82, 0.4), (0.52, 0.4))) * (side, -1) * scale + foot
        fill(canvas, tyre, (22, 22, 24))
    dark = (paint[0] * 0.62, paint[1] * 0.62, paint[2] * 0.62)
    fill(canvas, at(((-0.84, 0.22), (-0.9, 0.5), (-0.88, 0.92), (-0.8, 1.0), (-0.62, 1.42), (-0.5, 1.48))), paint)
    fill(canvas, at(((-0.84, 0.22), (-0.88, 0.42), (-0.87, 0.52))), dark)
    fill(canvas, at(((-0.68, 1.0), (-0.55, 1.38), (-0.48, 1.41))), (30, 36, 42))
    fill(canvas, at(((-0.2, 1.0), (-0.32, 1.38), (-0.3, 1.41))), (74, 88, 98))
    _draw_lamps_and_plate(rng, canvas, foot, scale)
    seam = at(((-0.86, 0.56),))
    cv2.polylines(
        canvas, [np.round(seam * 16).astype(np.int32)], False, dark, max(round(0.015 * scale), 1), cv2.LINE_AA, 4
    )


def _draw_lamps_and_plate(rng: np.random.Generator, canvas: Picture, foot: Points, scale: float) -> None:
    for side in (-1, 1):
        lamp = np.array(((0.6, 0.7), (0.86, 0.7), (0.84, 0.92), (0.64, 0.9))) * (side, -1) * scale + foot
        fill(canvas, lamp, (172, 22, 24))
        fill(canvas, lamp * 0.4 + lamp.mean(axis=0) * 0.6, (238, 96, 78))
    plate = np.array(((-0.27, -0.6), (-0.27, -0.73), (0.27, -0.73), (0.27, -0.6))) * scale + foot
    fill(canvas, plate, (240, 240, 236))
    number = f"{rng.integers(10, 99)} {rng.integers(1000, 9999)}"
    left, top = np.round(plate.min(axis=0)).astype(int)
    write(canvas, number, (int(left), int(top), round(0.54 * scale), round(0.12 * scale)), (20, 20, 24), "sans", 600)
