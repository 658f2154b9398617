"""Pinhole camera, and pasting of flat textures, ground and shadows in its perspective."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from competition.data.scenes.textures import Colour, Picture, enlarge, fractal_noise, modulate, to_picture

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """Level camera; world metres are x right, y up from the ground, z ahead before the turn by `yaw` radians."""

    focal: float
    centre: float
    horizon: float
    height: float
    yaw: float = 0.0

    def project(self, points: Sequence[tuple[float, float, float]] | Points) -> Points:
        """Picture positions (n, 2) as (x, y) in pixels of world points (n, 3)."""
        x, y, z = np.asarray(points, np.float64).T
        turn_x = x * np.cos(self.yaw) - z * np.sin(self.yaw)
        depth = np.maximum(x * np.sin(self.yaw) + z * np.cos(self.yaw), 0.3)
        return np.stack(
            (self.centre + self.focal * turn_x / depth, self.horizon - self.focal * (y - self.height) / depth), axis=1
        )

    def depth(self, x: float, z: float) -> float:
        """Distance ahead of the camera in metres, at least 1, of the world position (x, z)."""
        return max(float(x * np.sin(self.yaw) + z * np.cos(self.yaw)), 1.0)

    def pixels_per_metre(self, depth: float) -> float:
        """Scale in pixels per metre of a surface facing the camera at `depth` metres."""
        return self.focal / depth


def paste(canvas: Picture, texture: Picture, quad: Points, alpha: Picture | None = None) -> None:
    """Warp a texture onto the canvas in place.

    quad: (4, 2) canvas positions of the texture's top left, top right, bottom right, bottom left corners.
    alpha: optional coverage (height, width) of the texture, 0..255.
    """
    left, top = np.floor(np.maximum(quad.min(axis=0), 0)).astype(int)
    right, bottom = np.ceil(np.minimum(quad.max(axis=0), (canvas.shape[1], canvas.shape[0]))).astype(int)
    if right <= left or bottom <= top:
        return
    texture, alpha = _shrink_to(texture, alpha, quad)
    height, width = texture.shape[:2]
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32) - 0.5
    local = (quad - (left, top)).astype(np.float32)
    warp = cv2.getPerspectiveTransform(corners, local - np.float32(0.5))
    size = (int(right - left), int(bottom - top))
    colours = cv2.warpPerspective(texture, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = polygon_mask(size, local.astype(np.float64))
    if alpha is not None:
        cover = np.minimum(cover, np.asarray(cv2.warpPerspective(alpha, warp, size, flags=cv2.INTER_LINEAR), np.uint8))
    blend(canvas[top:bottom, left:right], np.asarray(colours, np.uint8), cover)


def _shrink_to(texture: Picture, alpha: Picture | None, quad: Points) -> tuple[Picture, Picture | None]:
    """Average a texture down to the size it will have on the canvas, so that the warp cannot alias."""
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    height, width = texture.shape[:2]
    target = (
        int(np.clip(np.ceil(max(sides[0], sides[2])), 2, width)),
        int(np.clip(np.ceil(max(sides[1], sides[3])), 2, height)),
    )
    if target == (width, height):
        return texture, alpha
    small = np.asarray(cv2.resize(texture, target, interpolation=cv2.INTER_AREA), np.uint8)
    if alpha is None:
        return small, None
    return small, np.asarray(cv2.resize(alpha, target, interpolation=cv2.INTER_AREA), np.uint8)


def polygon_mask(size: tuple[int, int], polygon: Points) -> Picture:
    """Antialiased coverage (height, width), 0..255, of a polygon (n, 2); size: width, height."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    bounded = np.clip(polygon, -20000, 20000)
    cv2.fillPoly(mask, [np.round((bounded - 0.5) * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    return mask


def blend(region: Picture, colours: Picture, cover: Picture) -> None:
    """Put colours over a region in place where cover (0..255) says so."""
    np.copyto(region, colours, where=(cover == 255)[:, :, None])
    rows, columns = np.nonzero((cover > 0) & (cover < 255))
    share = cover[rows, columns].astype(np.float32)[:, None] / 255
    under, over = region[rows, columns].astype(np.float32), colours[rows, columns].astype(np.float32)
    region[rows, columns] = to_picture(under + share * (over - under))


def fill(canvas: Picture, polygon: Points, colour: Colour) -> None:
    """Fill a convex or simple polygon (n, 2) with one colour, antialiased, in place."""
    bounded = np.clip(polygon, -20000, 20000)
    cv2.fillPoly(canvas, [np.round((bounded - 0.5) * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)


def shade(canvas: Picture, polygon: Points, factor: float, softness: float) -> None:
    """Multiply the canvas by `factor` inside a polygon (n, 2), its edge blurred by `softness` pixels."""
    margin = 3 * softness
    low = np.maximum(np.floor(polygon.min(axis=0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(polygon.max(axis=0) + margin), (canvas.shape[1], canvas.shape[0])).astype(int)
    if (high <= low).any():
        return
    mask = polygon_mask((int(high[0] - low[0]), int(high[1] - low[1])), polygon - low)
    soft = cv2.GaussianBlur(mask, (0, 0), max(softness, 0.5))
    gain = 1 + np.asarray(soft, np.float32) * np.float32((factor - 1) / 255)
    region = canvas[low[1] : high[1], low[0] : high[0]]
    region[:] = modulate(region, gain)


def paste_ground(
    canvas: Picture, camera: Camera, tile: Picture, metres: float, polygon: Points, rng: np.random.Generator
) -> None:
    """Cover a polygon (n, 2) below the horizon by a repeated ground tile `metres` across, aligned to the view."""
    height, width = canvas.shape[:2]
    top = max(int(np.floor(polygon[:, 1].min())), int(camera.horizon) + 2, 0)
    bottom = min(int(np.ceil(polygon[:, 1].max())) + 1, height)
    if bottom <= top:
        return
    layer = np.empty((bottom - top, width, 3), np.uint8)
    start = top
    while start < bottom:
        stop = min(int(camera.horizon + 1.35 * (start + 1 - camera.horizon)) + 1, bottom)
        layer[start - top : stop - top] = _ground_band(camera, tile, metres, start, stop, width)
        start = stop
    patches = fractal_noise(rng, max((bottom - top) // 4, 2), width // 16, 32, 2, 0.6)
    patches = enlarge(patches, bottom - top, width)
    layer = modulate(layer, 1 + np.float32(0.06) * patches)
    blend(canvas[top:bottom], layer, polygon_mask((width, bottom - top), polygon - (0, top)))


def _ground_band(camera: Camera, tile: Picture, metres: float, start: int, stop: int, width: int) -> Picture:
    """Rows start..stop of the ground, drawn from the tile averaged to their own pixel scale."""
    rows = np.arange(start, stop, dtype=np.float64) + 0.5
    depth = camera.focal * camera.height / (rows - camera.horizon)
    near = depth[-1]
    across = int(np.clip(metres * camera.focal / near, 2, tile.shape[1]))
    along = int(np.clip(metres * camera.focal * camera.height / near**2, 2, tile.shape[0]))
    small = cv2.resize(tile, (across, along), interpolation=cv2.INTER_AREA)
    x = ((np.arange(width) + 0.5 - camera.centre) / camera.focal * across / metres).astype(np.float32)
    map_x = np.mod(depth.astype(np.float32)[:, None] * x[None, :], np.float32(across))
    map_y = np.repeat((np.mod(-depth / metres, 1.0) * along).astype(np.float32)[:, None], width, axis=1)
    band = cv2.remap(small, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(band, np.uint8)
