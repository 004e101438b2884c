"""Lines to train on: labelled pages are cut as serving cuts them, at the labels' quads and at the detector's own.

A corrected page says where its lines lie and what they say, but the recogniser will meet lines as the detector cuts
them; so each line is cut twice, where the two agree on what belongs to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from packline_ocr.domain import Image, LabelledLine, Quad
from packline_ocr.recognition import cut
from packline_ocr.settings import RecogniserSettings

_INSIDE = 0.7  # share of a label's box that lies in the detector's where the line belongs to it
_ENDS = 0.5  # ends of a line may differ by this share of its height: less than a character


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPage:
    """A page to train on: which document it belongs to, its pixels, its lines."""

    document: str
    pixels: Image
    lines: Sequence[LabelledLine]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One crop of a line.

    Attributes:
        document: Which document it was cut from.
        png: The crop, `height` pixels high, without loss: a tenth to a third of its pixels' memory.
        width: Of the crop, in pixels.
        text: What it says, white space collapsed.
        detected: Whether the detector cut it; else the label did.
    """

    document: str
    png: NDArray[np.uint8]
    width: int
    text: str
    detected: bool

    @property
    def crop(self) -> Image:
        """The pixels, as they were cut."""
        return np.asarray(cv2.imdecode(self.png, cv2.IMREAD_COLOR), np.uint8)


def samples_of(page: LabelledPage, quads: Sequence[Quad], settings: RecogniserSettings) -> list[Sample]:
    """Cuts all lines of a page.

    Args:
        page: A labelled page.
        quads: What the detector that will serve finds on it.
        settings: Of the recogniser that will serve.

    Returns:
        The crops at the labels' quads, then those at the detector's; lines without text or area are left out.
    """
    height, width = page.pixels.shape[:2]
    labelled = []
    for line in page.lines:
        quad = np.clip(_quad(line), 0, (width, height)).astype(np.float32)
        text = " ".join(line.text.split())
        if text and np.ptp(quad, axis=0).min() >= 1:
            labelled.append((quad, text))
    detected = _labelled_by(quads, labelled)
    return [
        *(_sample(page, quad, text, settings, detected=False) for quad, text in labelled),
        *(_sample(page, quad, text, settings, detected=True) for quad, text in detected),
    ]


def _sample(page: LabelledPage, quad: Quad, text: str, settings: RecogniserSettings, *, detected: bool) -> Sample:
    crop = cut(page.pixels, quad, settings)
    _, png = cv2.imencode(".png", crop, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    return Sample(page.document, np.asarray(png, np.uint8), crop.shape[1], text, detected)


def _quad(line: LabelledLine) -> Quad:
    """The corners of a label; those of its smallest rectangle where it has more than four."""
    points = np.asarray(line.points, np.float32)
    if len(points) == 4:
        return points
    corners = cv2.boxPoints(cv2.minAreaRect(points))
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left, right = (side[np.argsort(side[:, 1], kind="stable")] for side in (by_x[:2], by_x[2:]))
    return np.stack([left[0], right[0], right[1], left[1]]).astype(np.float32)


def _labelled_by(quads: Sequence[Quad], labelled: Iterable[tuple[Quad, str]]) -> list[tuple[Quad, str]]:
    """Detected quads that hold whole labelled lines, with their text; neighbours that were joined stay joined."""
    boxes = [(*_box(quad), text) for quad, text in labelled]
    found = []
    for quad in quads:
        x0, y0, x1, y1 = _box(quad)
        inside = sorted(
            (
                box
                for box in boxes
                if max(min(x1, box[2]) - max(x0, box[0]), 0) * max(min(y1, box[3]) - max(y0, box[1]), 0)
                >= _INSIDE * (box[2] - box[0]) * (box[3] - box[1])
            ),
            key=lambda box: box[0],
        )
        if not inside:
            continue
        height = min(box[3] - box[1] for box in inside)
        middles = [(box[1] + box[3]) / 2 for box in inside]
        one_row = max(middles) - min(middles) < height / 2 and y1 - y0 < 2 * max(b[3] - b[1] for b in inside)
        left, right = inside[0][0] - x0, x1 - max(box[2] for box in inside)
        if one_row and abs(left) < _ENDS * (y1 - y0) and abs(right) < _ENDS * (y1 - y0):
            found.append((quad, " ".join(box[4] for box in inside)))
    return found


def _box(quad: Quad) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = quad.min(axis=0).tolist(), quad.max(axis=0).tolist()
    return x0, y0, x1, y1
