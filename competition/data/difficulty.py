"""How hard each part of a pair is: where bicubic enlargement fails."""

import cv2
import numpy as np
import numpy.typing as npt

from competition.data.sources import Pictures

CELL = 16


def difficulty_map(pictures: Pictures) -> npt.NDArray[np.float32]:
    """Mean squared error of bicubic enlargement in 8-bit levels of luma, cell by cell: float32 (rows, columns).

    The cells divide the picture evenly and are at most CELL low pixels high and wide.
    """
    height, width = pictures.size
    low, high = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (pictures.low, pictures.high))
    enlarged = cv2.resize(low, (high.shape[1], high.shape[0]), interpolation=cv2.INTER_CUBIC)
    error = cv2.absdiff(enlarged, high)
    squares = cv2.multiply(error, error, dtype=cv2.CV_32F)
    cells = (-(-width // CELL), -(-height // CELL))
    return np.asarray(cv2.resize(squares, cells, interpolation=cv2.INTER_AREA), np.float32)
