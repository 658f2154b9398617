"""Which pictures show the same thing: small signatures, their likeness, duplicates and groups of one scene."""

import hashlib
import itertools
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from competition.images import Bytes

# Pictures are compared at this size of their longer side, in pixels.
SIDE = 512
THUMBNAIL = 32
# Thumbnails with less contrast than this, in 8-bit levels, have no structure: skies and walls are all alike.
FAINT = 3.0
LANDMARKS = 400
# Two landmarks match when at most this many of their 256 bits differ, and each is the other's nearest.
BITS = 40
# Pictures are compared closely when they share this many of the 32-bit words of their landmarks. Of 193 photographs
# (18,528 pairs) 0.3 % share as many; the weakest two views of one scene share 6.
SHARED_WORDS = 4
# Matches in so many different places that one small turn and change of size explains show one scene: the weakest two
# views of one scene have 8, different scenes at most 3.
PLACES = 6
TURN, SIZE = 30.0, 1.6
# From here on a likeness says: the same scene, and: the same picture, processed in another way.
SAME_SCENE = 0.5
SAME_PICTURE = 0.75

_HEAD = struct.Struct("<32sH")

Matrix = npt.NDArray[np.float32]


class Signature(NamedTuple):
    """What is remembered of a picture: about 15 kB."""

    digest: bytes
    """SHA-256 of size and pixels."""
    thumbnail: npt.NDArray[np.uint8]
    """Luma, (THUMBNAIL, THUMBNAIL)."""
    points: npt.NDArray[np.uint16]
    """x and y of landmarks, (n, 2), in pixels when the longer side has SIDE of them; n is at most LANDMARKS."""
    descriptors: npt.NDArray[np.uint8]
    """Their ORB descriptors (Rublee et al. 2011), (n, 32)."""

    def pack(self) -> bytes:
        """As bytes, for `unpack`."""
        parts = (self.thumbnail, self.points.astype("<u2"), self.descriptors)
        return _HEAD.pack(self.digest, len(self.points)) + b"".join(part.tobytes() for part in parts)


def unpack(content: bytes) -> Signature:
    """The signature that `pack` wrote; raises ValueError for anything of another length."""
    digest, count = _HEAD.unpack_from(content.ljust(_HEAD.size, b"\0"))
    sizes = (THUMBNAIL**2, 4 * count, 32 * count)
    if len(content) != _HEAD.size + sum(sizes):
        raise ValueError(f"a signature with {count} landmarks has not {len(content)} bytes")
    ends = np.cumsum((_HEAD.size, *sizes))
    thumbnail, points, descriptors = (content[start:end] for start, end in itertools.pairwise(ends))
    return Signature(
        digest,
        np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL),
        np.frombuffer(points, "<u2").reshape(-1, 2).astype(np.uint16),
        np.frombuffer(descriptors, np.uint8).reshape(-1, 32),
    )


def signature(picture: Bytes) -> Signature:
    """The signature of a uint8 RGB picture (H, W, 3)."""
    height, width = picture.shape[:2]
    digest = hashlib.sha256(struct.pack("<II", height, width) + np.ascontiguousarray(picture).tobytes()).digest()
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    keypoints, descriptors = _detector().detectAndCompute(cv2.resize(luma, size, interpolation=method), None)
    points = np.array([point.pt for point in keypoints[:LANDMARKS]], np.float64).reshape(-1, 2)
    if descriptors is None:  # what OpenCV gives for none
        descriptors = np.zeros((0, 32), np.uint8)
    thumbnail = cv2.resize(luma, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return Signature(
        digest,
        np.asarray(thumbnail, np.uint8),
        points.round().astype(np.uint16),
        np.asarray(descriptors[:LANDMARKS], np.uint8),
    )


@lru_cache(maxsize=1)
def _detector() -> cv2.ORB:
    return cv2.ORB.create(nfeatures=LANDMARKS, edgeThreshold=15)


# ---- likeness -------------------------------------------------------------------------------------------------------


def likeness(first: Signature, second: Signature) -> float:
    """How much alike two pictures are, in [0, 1], whatever their order.

    1 for the same pixels; from SAME_PICTURE for one picture compressed, resized, a little cropped or in other light;
    from SAME_SCENE for overlapping views of one scene; below that what the thumbnails have in common.
    """
    first, second = sorted((first, second), key=lambda side: side.digest)
    if first.digest == second.digest:
        return 1.0
    return max(float(_agreement([first], [second])[0, 0]), _overlap(first, second))


def likeness_matrix(rows: Sequence[Signature], columns: Sequence[Signature]) -> Matrix:
    """`likeness` of every row with every column, (rows, columns), fast.

    Only pairs that share landmarks' words are looked at closely, so a faint overlap of two views may be missed.
    """
    matrix = _agreement(rows, columns)
    shared = _words(rows, columns)
    shared.data[shared.data < SHARED_WORDS] = 0
    shared.eliminate_zeros()
    known: dict[frozenset[bytes], float] = {}
    for row, column in zip(*shared.nonzero(), strict=True):
        first, second = rows[row], columns[column]
        both = frozenset((first.digest, second.digest))
        if both not in known:
            known[both] = likeness(first, second)
        matrix[row, column] = known[both]
    same = np.array([side.digest for side in rows])[:, None] == np.array([side.digest for side in columns])
    matrix[same] = 1
    return matrix


def groups(signatures: Sequence[Signature]) -> list[int]:
    """A group number per picture: pictures of one scene, and those that a third joins, have the same."""
    return groups_of(likeness_matrix(signatures, signatures))


def groups_of(matrix: Matrix) -> list[int]:
    """The groups of a likeness matrix of pictures with themselves."""
    return [int(label) for label in connected_components(sparse.csr_matrix(matrix >= SAME_SCENE), directed=False)[1]]


def _agreement(rows: Sequence[Signature], columns: Sequence[Signature]) -> Matrix:
    """Share of the structure of one thumbnail that the other explains (squared correlation), (rows, columns).

    Below SAME_PICTURE it is scaled to under SAME_SCENE, because alone it tells pictures and no scenes: of 3 million
    pairs of different photographs' parts, two had more than 0.5, none more than 0.56.
    """
    explained: Matrix = (_structure(rows) @ _structure(columns).T).clip(0, 1) ** 2
    return np.where(explained < SAME_PICTURE, explained * np.float32(SAME_SCENE / SAME_PICTURE), explained)


def _structure(signatures: Sequence[Signature]) -> Matrix:
    """Thumbnails without brightness and slow changes, as unit vectors: their product is their correlation."""
    vectors = np.zeros((len(signatures), THUMBNAIL**2), np.float32)
    for vector, side in zip(vectors, signatures, strict=True):
        plane = side.thumbnail.astype(np.float32)
        detail = plane - cv2.GaussianBlur(plane, (0, 0), THUMBNAIL / 8)
        norm = np.linalg.norm(detail)
        if norm > THUMBNAIL * FAINT:
            vector[:] = detail.ravel() / norm
    return vectors


def _words(rows: Sequence[Signature], columns: Sequence[Signature]) -> sparse.csr_matrix:
    """How many words each row shares with each column; a word is one of eight 32-bit parts of a descriptor."""
    words = {side.digest: _words_of(side) for side in (*rows, *columns)}
    places = {digest: place for place, digest in enumerate(words)}
    known, numbers = np.unique(np.concatenate(list(words.values())), return_inverse=True)
    ends = np.cumsum([0, *map(len, words.values())])
    counts = sparse.csr_matrix((np.ones(len(numbers), np.int32), numbers, ends), shape=(len(words), len(known)))
    ours, theirs = ([places[side.digest] for side in sides] for sides in (rows, columns))
    return (counts[ours] @ counts[theirs].T).tocsr()


def _words_of(side: Signature) -> npt.NDArray[np.uint64]:
    words = np.ascontiguousarray(side.descriptors).view("<u4").astype(np.uint64)
    return np.unique(words + (np.arange(8, dtype=np.uint64) << np.uint64(32)))


def _overlap(first: Signature, second: Signature) -> float:
    """SAME_SCENE and more when landmarks agree up to a shift, a small turn and a small change of size; else 0."""
    if not (len(first.points) and len(second.points)):  # the matcher takes no empty sides
        return 0.0
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first.descriptors, second.descriptors)
    near = [(match.queryIdx, match.trainIdx) for match in matches if match.distance <= BITS]
    if len(near) < PLACES:
        return 0.0
    ours, theirs = np.array(near).T
    source, target = first.points[ours].astype(np.float32), second.points[theirs].astype(np.float32)
    warp, agreeing = cv2.estimateAffinePartial2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=6)
    if warp is None or not _plausible(warp):
        return 0.0
    source = source[agreeing.ravel() > 0]
    # ORB finds one corner at several sizes: they count once.
    if len(np.unique(source // 8, axis=0)) < PLACES:
        return 0.0
    share = len(source) / min(len(first.points), len(second.points))
    return SAME_SCENE + (1 - SAME_SCENE) * share


def _plausible(warp: npt.NDArray[np.float64]) -> bool:
    size, turn = np.hypot(warp[0, 0], warp[1, 0]), np.degrees(np.arctan2(warp[1, 0], warp[0, 0]))
    return bool(1 / SIZE < size < SIZE and abs(turn) < TURN)
