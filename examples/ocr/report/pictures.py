"""Pictures for a file that must stand alone: pages and crops as JPEG data URIs, boxes and texts as SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

import cv2
import numpy as np
from packline_ocr.domain import Image
from packline_ocr.pages import Limits, open_pages

from examples.ocr.report.compare import box
from examples.ocr.report.facts import Points, TextLine

_PAGE_WIDTH = 720
_CROP_HEIGHT = 40
_CROP_MAX_WIDTH = 520


@dataclass(frozen=True, slots=True)
class Mark:
    """A box drawn on a page: where, the text read there, and a class of the style sheet that colours it."""

    points: Points
    text: str
    style: str


@lru_cache(maxsize=4)
def load(path: Path) -> Image:
    """The first page of a document, decoded as the engine decodes it, so that quads fit it.

    Raises:
        InvalidInput: it is no document that the engine reads.
        OSError: it cannot be opened.
    """
    return open_pages(path.read_bytes(), Limits(), 1, 1)[0].decode()


def data_uri(pixels: Image, quality: int = 62) -> str:
    """A picture as the text of a JPEG data URI."""
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("OpenCV could not encode a picture as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def crop(path: Path, points: Points) -> str:
    """One line cut out of its page, with a little room, as an `img` element."""
    page = load(path)
    left, top, right, bottom = (round(v) for v in box(points))
    room = max(3, (bottom - top) // 5)
    part = page[max(top - room, 0) : bottom + room, max(left - 2 * room, 0) : right + 2 * room]
    scale = min(_CROP_HEIGHT / max(part.shape[0], 1), _CROP_MAX_WIDTH / max(part.shape[1], 1)) * 1.5
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    uri = data_uri(np.asarray(cv2.resize(part, size, interpolation=how), np.uint8), 70)
    return f'<img class="crop" alt="" style="width:{round(size[0] / 1.5)}px" src="{uri}">'


def _polygon(mark: Mark) -> str:
    corners = " ".join(f"{x:.0f},{y:.0f}" for x, y in mark.points)
    return f'<polygon class="{mark.style}" points="{corners}"><title>{escape(mark.text)}</title></polygon>'


def _placed(mark: Mark) -> str:
    left, top, right, bottom = box(mark.points)
    size = max(min((bottom - top) * 0.82, 1.9 * (right - left) / max(len(mark.text), 1)), 6)
    (x0, y0), (x1, y1) = mark.points[0], mark.points[1]
    turn = np.degrees(np.arctan2(y1 - y0, x1 - x0))
    y = (top + bottom) / 2 + size * 0.34
    return (
        f'<text class="{mark.style}" x="{left:.0f}" y="{y:.0f}" font-size="{size:.1f}" textLength="{right - left:.0f}" '
        f'lengthAdjust="spacingAndGlyphs" transform="rotate({turn:.2f} {(left + right) / 2:.0f} {y:.0f})">'
        f"{escape(mark.text)}</text>"
    )


def page_with_boxes(path: Path, marks: Sequence[Mark]) -> str:
    """Two SVG pictures of a page: the paper with a box around every mark, and what was read, each text in its place."""
    page = load(path)
    height, width = page.shape[:2]
    scale = min(_PAGE_WIDTH / width, 1.0)
    small = cv2.resize(page, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    view = f'viewBox="0 0 {width} {height}"'
    boxes, texts = "".join(map(_polygon, marks)), "".join(map(_placed, marks))
    return (
        f'<svg class="paper" {view} role="img"><image href="{data_uri(np.asarray(small, np.uint8))}" '
        f'width="{width}" height="{height}"/>{boxes}</svg>'
        f'<svg class="paper blank" {view} role="img">{texts}</svg>'
    )


def marks_of(lines: Sequence[TextLine], style: str) -> list[Mark]:
    """Marks for lines that have no truth to be judged by."""
    return [Mark(line.points, line.text, style) for line in lines]
