"""Shop signs: fitted text in several fonts, boards, vertical signs and small posters."""

from functools import cache

import cv2
import numpy as np

from competition.data.scenes.textures import Colour, Picture, coloured, fractal_noise

_HANGUL = (
    "커피볶는집",
    "행복약국",
    "우리서점",
    "새마을은행",
    "푸른치과의원",
    "엄마손분식",
    "아침빵집",
    "은하미용실",
    "별빛세탁소",
    "봄날꽃집",
    "한마음부동산",
    "중앙안경원",
    "바다횟집",
    "골목식당",
    "태양전자",
    "미래학원",
    "서울사진관",
    "동네책방",
)
_LATIN = (
    "COFFEE & TEA",
    "BOOKS",
    "PHARMACY",
    "Bakery 1987",
    "OPTIC",
    "HOTEL",
    "PIANO",
    "Flowers",
    "BANK",
    "Bistro No. 9",
    "CINEMA",
    "LAUNDRY",
    "Tailor",
    "MUSIC HALL",
    "24h MARKET",
    "Noodle Bar",
    "GALLERY",
    "DENTAL CLINIC",
)
_SMALL = (
    "TEL 02-734-5512",
    "OPEN 10:00 - 22:00",
    "2F 3F 4F",
    "since 1974",
    "주차 가능 / 예약 환영",
    "영업시간 09:00~21:00",
    "SALE 30-50%",
    "WELCOME",
    "No. 128-7",
    "신메뉴 출시 4,500원",
    "배달 031-882-0917",
)
_GROUNDS: tuple[Colour, ...] = (
    (246, 244, 236),
    (28, 30, 34),
    (172, 28, 34),
    (22, 66, 138),
    (20, 104, 66),
    (242, 196, 40),
    (92, 52, 34),
    (232, 110, 32),
    (70, 36, 96),
    (210, 222, 226),
)


@cache
def _font(name: str) -> cv2.FontFace:
    return cv2.FontFace(name)


def write(board: Picture, text: str, box: tuple[int, int, int, int], colour: Colour, font: str, weight: int) -> None:
    """Write text in place, centred and as large as fits the box (x, y, width, height) in pixels."""
    x, y, width, height = box
    if width < 4 or height < 4:
        return
    face = _font("uni" if not text.isascii() else font)
    trial = cv2.getTextSize((9999, 999), text, (0, 0), face, 100, weight)
    size = int(min(100 * width / max(trial[2], 1), 100 * height / max(trial[3], 1)))
    if size < 5:
        return
    left, top, wide, high = cv2.getTextSize((9999, 999), text, (0, 0), face, size, weight)
    origin = (x + (width - wide) // 2 - left, y + (height - high) // 2 - top)
    cv2.putText(board, text, origin, colour, face, size, weight)
    if not text.isascii() and size > 24:
        # The wide-coverage font has one weight only; a shifted second copy makes it bold.
        cv2.putText(board, text, (origin[0] + size // 24, origin[1]), colour, face, size, weight)


def _ground(rng: np.random.Generator, height: int, width: int) -> tuple[Picture, Colour]:
    """Sign ground (height, width, 3) with faint grime, and a text colour that stands out on it."""
    colour = _GROUNDS[rng.integers(len(_GROUNDS))]
    grime = 1 + 0.035 * fractal_noise(rng, height, width, 64, 2)
    fall = np.linspace(1.06, 0.92, height, dtype=np.float32)[:, None]
    board = coloured(grime * fall, colour)
    if sum(colour) > 380:
        return board, ((24, 24, 28), (160, 20, 24), (16, 48, 120))[rng.integers(3)]
    return board, ((250, 250, 246), (252, 232, 150), (250, 250, 250))[rng.integers(3)]


def board(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Horizontal shop sign (height, width, 3) with a name, a small line and a border."""
    picture, ink = _ground(rng, height, width)
    name = str(rng.choice(_HANGUL if rng.random() < 0.6 else _LATIN))
    pad = max(height // 9, 1)
    font, weight = str(rng.choice(("sans", "italic"))), int(rng.choice((400, 600, 800)))
    split = int(width * rng.uniform(0.62, 0.78)) if width > 3 * height else width
    write(picture, name, (pad * 2, pad, split - 4 * pad, height - 2 * pad), ink, font, weight)
    if split < width:
        side = (split, height // 5, width - split - 2 * pad, height // 4)
        write(picture, str(rng.choice(_SMALL)), side, ink, "sans", 600)
        below = (split, height * 11 // 20, width - split - 2 * pad, height // 4)
        write(picture, str(rng.choice(_SMALL)), below, ink, "sans", 400)
    if rng.random() < 0.6:
        inset = max(pad // 3, 1)
        cv2.rectangle(picture, (inset, inset), (width - 1 - inset, height - 1 - inset), ink, max(pad // 5, 1))
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (60, 60, 62), max(height // 60, 1))
    return picture


def vertical_board(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Projecting vertical sign (height, width, 3) with one character below the other."""
    picture, ink = _ground(rng, height, width)
    name = str(rng.choice(_HANGUL))
    step = min(height / (len(name) + 0.8), width * 1.1)
    top = (height - step * len(name)) / 2
    for i, letter in enumerate(name):
        box = (width // 7, int(top + (i + 0.08) * step), width * 5 // 7, int(step * 0.84))
        write(picture, letter, box, ink, "sans", 600)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (70, 70, 72), max(width // 30, 1))
    return picture


def poster(rng: np.random.Generator, height: int, width: int) -> Picture:
    """Small notice (height, width, 3): a title, lines of fine print and a picture block."""
    picture, ink = _ground(rng, height, width)
    title = str(rng.choice(_SMALL))
    write(picture, title, (width // 12, height // 20, width * 10 // 12, height // 6), ink, "sans", 800)
    top, bottom = height // 4, int(height * rng.uniform(0.4, 0.7))
    patch = 128 + 55 * fractal_noise(rng, max(bottom - top, 1), max(width * 10 // 12, 1), 32, 2)
    tint = rng.uniform(0.5, 1.2, 3)
    picture[top : top + patch.shape[0], width // 12 : width // 12 + patch.shape[1]] = coloured(
        patch, (tint[0], tint[1], tint[2])
    )
    line = max(height // 18, 7)
    for y in range(bottom + line // 2, height - line, int(line * 1.35)):
        text = str(rng.choice(_SMALL))
        write(picture, text, (width // 12, y, width * 10 // 12, line), ink, "sans", 400)
    return picture
