"""Pixels as models take them: interleaved bytes in, planar floats out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from packline_ocr.domain import Image


class Normaliser:
    """Computes (pixel / 255 - mean) / std, channel by channel.

    Args:
        mean: Of each channel, on the scale 0 to 1.
        std: Likewise.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        deviation = np.asarray(std, np.float32)
        self._gain = 1 / (255 * deviation)
        self._offset = -np.asarray(mean, np.float32) / deviation

    def fill(self, pixels: Image, out: NDArray[np.float32]) -> None:
        """Writes pixels, height x width x 3, into `out`, 3 x height x width."""
        for channel in range(3):
            np.multiply(pixels[:, :, channel], self._gain[channel], out=out[channel])
            out[channel] += self._offset[channel]
