"""What a line says: crops cut upright from the page, batches of like width, CTC decoding.

Time is linear in pixels, so lines of the whole call are sorted by width and padded only to the widest of a small batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from packline_core.errors import BundleRejected

from packline_ocr.domain import Image, Quad
from packline_ocr.normalisation import Normaliser
from packline_ocr.settings import RecogniserSettings
from packline_ocr.signature import check_signature

_TALL = 1.5  # taller than so many widths is a line written downwards
_LEVEL = 0.02  # corners off by less than this share of the height need no warp


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of one line."""

    text: str
    confidence: float


class Recogniser:
    """Reads crops of lines.

    Args:
        session: An onnxruntime session of the recogniser's file.
        settings: What the bundle says of it.
        characters: The dictionary, classes 1, 2, … in order.

    Raises:
        BundleRejected: The model takes or gives something else, or its classes are not those of the dictionary.
    """

    def __init__(self, session: Any, settings: RecogniserSettings, characters: Sequence[str]) -> None:
        self._session = session
        self._settings = settings
        self._input = check_signature(session, settings.file, (None, 3, settings.height, None), output_rank=3)
        self._characters = np.array(["", *characters], dtype=object)
        classes = session.get_outputs()[0].shape[-1]
        if isinstance(classes, int) and classes != len(self._characters):
            raise BundleRejected(
                f"{settings.file} has {classes} classes, {settings.characters} lists {len(characters)} characters and"
                " blank; a recogniser and its dictionary belong together",
                reason="SIGNATURE_MISMATCH",
            )
        self._normaliser = Normaliser(settings.mean, settings.std)

    def width(self, crop: Image) -> int:
        """Width in pixels that a crop is padded to at least."""
        multiple = self._settings.multiple
        return max(-(-int(crop.shape[1]) // multiple) * multiple, self._settings.min_width)

    def read(self, crops: Sequence[Image]) -> list[Reading]:
        """Reads crops of `height` pixels as one batch, padded to the widest."""
        width = max(self.width(crop) for crop in crops)
        tensor = np.zeros((len(crops), 3, self._settings.height, width), np.float32)
        for row, crop in zip(tensor, crops, strict=True):
            self._normaliser.fill(crop, row[:, :, : crop.shape[1]])
        (logits,) = self._session.run(None, {self._input: tensor})
        return [self._decode(row) for row in logits]

    def _decode(self, logits: NDArray[np.float32]) -> Reading:
        """Best path of CTC: repeats collapse, blanks fall out. Softmax is taken of the steps that count alone."""
        best = logits.argmax(axis=1)
        kept = best != 0
        kept[1:] &= best[1:] != best[:-1]
        if not kept.any():
            return Reading("", 0.0)
        steps = logits[kept]
        probability = 1 / np.exp(steps - steps.max(axis=1, keepdims=True)).sum(axis=1)
        return Reading("".join(self._characters[best[kept]]), float(probability.mean()))


def cut(pixels: Image, quad: Quad, settings: RecogniserSettings) -> Image:
    """Cuts a quad upright from a page, scaled to the recogniser's height; a line written downwards is turned left."""
    across = max(float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[2] - quad[3])), 1.0)
    down = max(float(np.linalg.norm(quad[3] - quad[0])), float(np.linalg.norm(quad[2] - quad[1])), 1.0)
    if down >= across * _TALL:
        quad, across, down = np.roll(quad, -1, axis=0), down, across
    level = max(abs(float(quad[1, 1] - quad[0, 1])), abs(float(quad[3, 0] - quad[0, 0]))) < _LEVEL * down
    if level:
        x0, y0 = np.floor(quad.min(axis=0)).astype(int)
        x1, y1 = np.ceil(quad.max(axis=0)).astype(int)
        crop = pixels[y0:y1, x0:x1]
    else:
        size = (max(round(across), 1), max(round(down), 1))
        corners = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
        matrix = cv2.getPerspectiveTransform(quad, corners)
        warped = cv2.warpPerspective(pixels, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        crop = np.asarray(warped, np.uint8)
    height = settings.height
    width = min(max(round(crop.shape[1] * height / crop.shape[0]), 1), settings.max_width)
    interpolation = cv2.INTER_AREA if crop.shape[0] > 2 * height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (width, height), interpolation=interpolation), np.uint8)


def batches(widths: Sequence[int], limit: int, max_waste: float) -> list[list[int]]:
    """Groups lines of like width.

    Args:
        widths: Padded width of each line, in pixels.
        limit: Most lines in a batch.
        max_waste: Most that a batch is padded, as a share of its narrowest line.

    Returns:
        Indices of the lines of each batch, the widest batch first, so that workers end together.
    """
    groups: list[list[int]] = []
    for index in sorted(range(len(widths)), key=lambda i: -widths[i]):
        if groups and len(groups[-1]) < limit and widths[groups[-1][0]] <= widths[index] * (1 + max_waste):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
