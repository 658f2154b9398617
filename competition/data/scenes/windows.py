"""Windows, balconies and shop fronts, drawn head-on as small textures."""

from dataclasses import dataclass

import cv2
import numpy as np

from competition.data.scenes import signs
from competition.data.scenes.textures import Colour, Field, Picture, coloured, fractal_noise, to_picture


@dataclass(frozen=True)
class WindowStyle:
    """Look shared by the windows of one façade; `bars` and `rows` are numbers of panes."""

    frame: Colour
    bars: int
    rows: int
    blinds: float
    curtains: float
    lit: float


def random_window_style(rng: np.random.Generator, lit: float) -> WindowStyle:
    """Window style with a share `lit` (0..1) of windows lit from inside."""
    frames: tuple[Colour, ...] = ((232, 230, 224), (62, 60, 58), (120, 92, 66), (150, 156, 160), (44, 66, 60))
    return WindowStyle(
        frame=frames[rng.integers(len(frames))],
        bars=int(rng.integers(1, 5)),
        rows=int(rng.integers(1, 4)),
        blinds=rng.uniform(0.1, 0.5),
        curtains=rng.uniform(0.1, 0.5),
        lit=lit,
    )


def glass(rng: np.random.Generator, height: int, width: int, lit: bool) -> Field:
    """Glass (height, width, 3) on the 0..255 scale: sky reflection over a dark or lit room."""
    rise = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    slope = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :] * np.float32(rng.normal(0, 0.5))
    clouds = fractal_noise(rng, height, width, max(width, height) / 2, 2, 0.9)
    mirror = np.clip(rng.uniform(0.1, 0.45) + 0.35 * (rise - 0.5) + slope + 0.14 * clouds, 0, 1)
    skyline = rng.uniform(0.2, 0.7) + 0.12 * np.sign(np.sin(np.arange(width) * 6.3 / max(width, 1) * rng.uniform(1, 4)))
    mirror = np.where(rise < skyline[None, :], mirror * np.float32(0.45), mirror).astype(np.float32)
    room = np.array((236, 196, 128) if lit else (34, 38, 42), np.float32)
    depth = 1 + 0.25 * fractal_noise(rng, height, width, max(height, 4) / 3, 3, 0.5)
    sky = np.array((186, 204, 220), np.float32)
    parts = cv2.merge((depth * (1 - mirror), mirror))
    return np.asarray(cv2.transform(parts, np.stack((room, sky)).T), np.float32)


def window(rng: np.random.Generator, height: int, width: int, style: WindowStyle, scale: float) -> Picture:
    """One framed window (height, width, 3) at `scale` pixels per metre."""
    panes = glass(rng, height, width, bool(rng.random() < style.lit))
    if rng.random() < style.curtains:
        _hang_curtains(rng, panes, scale)
    if rng.random() < style.blinds:
        _lower_blind(rng, panes, scale)
    picture = to_picture(panes)
    _draw_frame(picture, style, scale)
    reveal = max(int(0.09 * scale), 1)
    fall = np.linspace(0.45, 0.95, reveal, dtype=np.float32)[:, None, None]
    picture[:reveal] = to_picture(picture[:reveal] * fall[: len(picture)])
    side = max(reveal * 2 // 3, 1)
    picture[:, :side] = to_picture(picture[:, :side] * np.float32(0.66))
    return picture


def _hang_curtains(rng: np.random.Generator, panes: Field, scale: float) -> None:
    width = panes.shape[1]
    x = np.arange(width, dtype=np.float32)
    period = max(0.09 * scale, 4)
    folds = 0.78 + 0.16 * np.sin(x * 6.28 / period + 1.7 * np.sin(x / period)) + 0.05 * np.sin(x * 2.1 / period)
    cloth = np.array(rng.uniform((150, 140, 120), (235, 228, 215)), np.float32)
    share = int(width * rng.uniform(0.12, 0.5))
    for part in (slice(0, share), slice(width - share, width)):
        panes[:, part] = 0.35 * panes[:, part] + 0.6 * cloth * folds[part, None]


def _lower_blind(rng: np.random.Generator, panes: Field, scale: float) -> None:
    height = panes.shape[0]
    drop = int(height * rng.uniform(0.25, 1.0))
    pitch = max(0.05 * scale, 3)
    slats = 0.7 + 0.3 * np.mod(np.arange(drop, dtype=np.float32) / pitch, 1.0)
    cloth = np.array(rng.uniform((160, 158, 150), (225, 222, 214)), np.float32)
    panes[:drop] = 0.2 * panes[:drop] + 0.78 * cloth * slats[:, None, None]


def _draw_frame(picture: Picture, style: WindowStyle, scale: float) -> None:
    height, width = picture.shape[:2]
    thick = max(round(0.055 * scale), 1)
    light = tuple(min(part * 1.12, 255) for part in style.frame)
    dark = tuple(part * 0.6 for part in style.frame)
    for i in range(style.bars + 1):
        x = round(i * (width - thick) / style.bars)
        cv2.rectangle(picture, (x, 0), (x + thick - 1, height), style.frame, -1)
        cv2.line(picture, (x + thick, 0), (x + thick, height), dark, 1)
        cv2.line(picture, (x, 0), (x, height), light, 1)
    for j in range(style.rows + 1):
        y = round((j / style.rows) ** 0.6 * (height - thick))
        cv2.rectangle(picture, (0, y), (width, y + thick - 1), style.frame, -1)
        cv2.line(picture, (0, y + thick), (width, y + thick), dark, 1)
        cv2.line(picture, (0, y), (width, y), light, 1)


def _shade_down(region: Picture, darkest: float) -> None:
    """Darken a region in place, from the multiplier `darkest` at its top to none at its foot."""
    fall = np.linspace(darkest, 1, len(region), dtype=np.float32)
    region[:] = to_picture(region * fall[:, None, None])


def add_railing(picture: Picture, left: int, right: int, foot: int, scale: float, colour: Colour) -> None:
    """Draw a balcony railing 1 m high in place: slab, close bars, handrail and the shadow under the slab."""
    top, slab = foot - int(scale), max(int(0.16 * scale), 2)
    _shade_down(picture[foot + slab : foot + slab + int(0.5 * scale), left:right], 0.5)
    thick = max(int(0.018 * scale), 1)
    for x in np.arange(left, right, max(0.11 * scale, 3)):
        cv2.line(picture, (int(x), top), (int(x), foot), colour, thick)
        cv2.line(picture, (int(x) + thick, top), (int(x) + thick, foot), tuple(part * 0.55 for part in colour), 1)
    for y in (top, foot - int(0.1 * scale)):
        cv2.rectangle(picture, (left, y), (right, y + 2 * thick), colour, -1)
    cv2.rectangle(picture, (left, foot), (right, foot + slab), (176, 172, 164), -1)
    cv2.line(picture, (left, foot), (right, foot), (222, 219, 212), 1)


def add_cooler(rng: np.random.Generator, picture: Picture, x: int, y: int, scale: float) -> None:
    """Draw an air-conditioning unit in place with its top left corner at (x, y)."""
    width, height = int(0.85 * scale), int(0.6 * scale)
    if height < 8 or y + height + 2 >= picture.shape[0] or x + width >= picture.shape[1]:
        return
    tone = rng.uniform(190, 228)
    region = picture[y : y + height, x : x + width]
    region[:] = weathered_box(rng, height, width, tone)
    centre, radius = (x + width * 2 // 5, y + height // 2), int(height * 0.4)
    cv2.circle(picture, centre, radius, (52, 54, 56), -1, cv2.LINE_AA)
    for ring in range(radius, 1, -max(radius // 8, 3)):
        cv2.circle(picture, centre, ring, (150, 150, 148), 1, cv2.LINE_AA)
    for line in range(y + height // 6, y + height * 5 // 6, max(height // 14, 3)):
        cv2.line(picture, (x + width * 3 // 4, line), (x + width * 19 // 20, line), (110, 110, 108), 1)
    cv2.line(picture, (x, y + height), (x + width, y + height), (48, 48, 48), max(int(0.04 * scale), 1))


def weathered_box(rng: np.random.Generator, height: int, width: int, tone: float) -> Picture:
    """Painted metal (height, width, 3) of mean level `tone`, lighter at the top."""
    fall = np.linspace(1.04, 0.86, height, dtype=np.float32)[:, None]
    dirt = 1 + 0.04 * fractal_noise(rng, height, width, 32, 2)
    return coloured(fall * dirt, (tone, tone * 0.99, tone * 0.96))


def shop_front(rng: np.random.Generator, height: int, width: int, scale: float) -> Picture:
    """Ground-floor shop (height, width, 3): sign board over glass with goods, posters and a door."""
    sign = int(height * rng.uniform(0.22, 0.32))
    picture = to_picture(glass(rng, height, width, bool(rng.random() < 0.5)))
    _stock_shelves(rng, picture[sign:], scale)
    style = WindowStyle((70, 70, 72), max(int(width / scale / 1.3), 1), 1, 0, 0, 0)
    _draw_frame(picture[sign:], style, scale * 1.4)
    for _ in range(int(rng.integers(1, 5))):
        tall, wide = int(scale * rng.uniform(0.4, 0.9)), int(scale * rng.uniform(0.3, 0.65))
        x = int(rng.uniform(0, max(width - wide, 1)))
        y = int(rng.uniform(sign, max(height - tall - 0.4 * scale, sign + 1)))
        if tall > 12 and x + wide < width and y + tall < height:
            picture[y : y + tall, x : x + wide] = signs.poster(rng, tall, wide)
    picture[:sign] = signs.board(rng, sign, width)
    _shade_down(picture[sign : sign + int(0.35 * scale)], 0.4)
    base = max(int(0.35 * scale), 1)
    picture[-base:] = weathered_box(rng, base, width, rng.uniform(70, 140))
    return picture


def _stock_shelves(rng: np.random.Generator, picture: Picture, scale: float) -> None:
    """Put rows of small goods behind the glass."""
    height, width = picture.shape[:2]
    goods = picture.copy()
    step = max(int(0.42 * scale), 8)
    for foot in range(2 * step, height, step):
        x = 0
        while x < width:
            wide, tall = int(rng.uniform(0.05, 0.22) * scale) + 2, int(rng.uniform(0.3, 0.85) * step)
            colour = rng.uniform(40, 215) + rng.normal(0, 24, 3)
            cv2.rectangle(goods, (x, foot - tall), (x + wide - 1, foot), colour.tolist(), -1)
            label = (colour * 0.5 + 110).tolist()
            cv2.rectangle(goods, (x + 1, foot - tall * 2 // 3), (x + wide - 2, foot - tall // 3), label, -1)
            for y in range(foot - tall * 2 // 3 + 2, foot - tall // 3, 3):
                cv2.line(goods, (x + 2, y), (x + wide - 3, y), (colour * 0.4).tolist(), 1)
            x += wide + int(rng.uniform(0, 0.06) * scale) + 1
        cv2.rectangle(goods, (0, foot), (width, foot + max(step // 12, 1)), (88, 74, 60), -1)
    picture[:] = cv2.addWeighted(picture, 0.42, goods, 0.58, 0)
