"""Where text lies on a page: a DB detector and the quads cut from its probability map.

The map is thresholded, each connected region becomes its smallest rotated rectangle, and the rectangle is grown again,
since DB is trained on shrunken regions (Liao et al. 2020, arXiv:1911.08947, section 3.4). A rectangle grown by a
distance is a rectangle, so no polygon clipping is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from packline_ocr.domain import Image, Quad
from packline_ocr.normalisation import Normaliser
from packline_ocr.settings import DetectorSettings
from packline_ocr.signature import check_signature

_MIN_SIDE = 3.0  # pixels of the map: thinner regions are noise
_MAX_REGIONS = 3000
_DILATION = np.ones((2, 2), np.uint8)


class Detector:
    """Finds lines of text.

    Args:
        session: An onnxruntime session of the detector's file.
        settings: What the bundle says of it.

    Raises:
        BundleRejected: The model takes or gives something else.
    """

    def __init__(self, session: Any, settings: DetectorSettings) -> None:
        self._session = session
        self._settings = settings
        self._input = check_signature(session, settings.file, (None, 3, None, None), output_rank=4)
        self._normaliser = Normaliser(settings.mean, settings.std)

    def detect(self, pixels: Image) -> list[Quad]:
        """Quads of the lines on a page, in no order, in pixels of the page."""
        height, width = pixels.shape[:2]
        to_height, to_width = input_size(height, width, self._settings)
        interpolation = cv2.INTER_AREA if to_width < width / 2 else cv2.INTER_LINEAR
        resized = cv2.resize(pixels, (to_width, to_height), interpolation=interpolation)
        tensor = np.empty((1, 3, to_height, to_width), np.float32)
        self._normaliser.fill(np.asarray(resized, np.uint8), tensor[0])
        (probability,) = self._session.run(None, {self._input: tensor})
        return quads_from_map(probability[0, 0], height, width, self._settings)


def input_size(height: int, width: int, settings: DetectorSettings) -> tuple[int, int]:
    """Height and width of the detector's input for a page."""
    short, long = sorted((height, width))
    scale = min(max(settings.scale, settings.min_side / short), settings.max_side / long)
    multiple = settings.multiple
    return (
        max(round(height * scale / multiple), 1) * multiple,
        max(round(width * scale / multiple), 1) * multiple,
    )


def quads_from_map(probability: NDArray[np.float32], height: int, width: int, settings: DetectorSettings) -> list[Quad]:
    """Cuts quads from a probability map.

    Args:
        probability: Probability of text, float32, map height x map width.
        height: Of the page, in pixels; quads are scaled to it.
        width: Likewise.
        settings: Thresholds.
    """
    map_height, map_width = probability.shape
    mask = (probability > settings.threshold).astype(np.uint8)
    # Closes one-pixel gaps, which otherwise cut thin strokes of a line apart.
    contours, _ = cv2.findContours(cv2.dilate(mask, _DILATION), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    to_page = np.array([width / map_width, height / map_height], np.float32)
    limit = np.array([width, height], np.float32)
    quads = []
    for contour in contours[:_MAX_REGIONS]:
        centre, size, angle = cv2.minAreaRect(contour)
        if min(size) < _MIN_SIDE:
            continue
        if _mean_inside(probability, _corners(centre, size, angle)) < settings.box_threshold:
            continue
        grow = size[0] * size[1] * settings.unclip_ratio / (2 * (size[0] + size[1]))
        grown = (size[0] + 2 * grow, size[1] + 2 * grow)
        corners = _clockwise(_corners(centre, grown, angle))
        # Quarters of a pixel are the same number in float32, float64 and JSON, so every way out tells the same quad.
        quad = np.clip(np.round(corners * to_page * 4) / 4, 0, limit).astype(np.float32)
        if min(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])) > _MIN_SIDE:
            quads.append(quad)
    return quads


def _corners(centre: Sequence[float], size: Sequence[float], angle: float) -> NDArray[np.float32]:
    return np.asarray(cv2.boxPoints((centre, size, angle)), np.float32)


def _mean_inside(probability: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """Mean of the map inside a quad."""
    height, width = probability.shape
    x0, y0 = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width - 1, height - 1))
    mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (x0, y0)).astype(np.int32)], 1)
    return float(cv2.mean(probability[y0 : y1 + 1, x0 : x1 + 1], mask)[0])


def _clockwise(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Orders four corners: top left, top right, bottom right, bottom left."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    left = left[np.argsort(left[:, 1], kind="stable")]
    right = right[np.argsort(right[:, 1], kind="stable")]
    return np.stack([left[0], right[0], right[1], left[1]])
