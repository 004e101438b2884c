"""Pages and files drawn for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import cv2
import numpy as np
from packline_ocr.domain import Image
from PIL import Image as Pil

TEXT = ("Delivery note 4711", "12 pcs bearing 6204", "Total 384.60")


def draw_page(lines: Sequence[str] = TEXT, width: int = 600, angle: float = 0.0) -> Image:
    """Black on white, BGR; turned by `angle` degrees about its middle."""
    page = np.full((80 * len(lines) + 60, width, 3), 255, np.uint8)
    for row, text in enumerate(lines):
        cv2.putText(page, text, (60, 80 * row + 80), cv2.FONT_HERSHEY_DUPLEX, 1.1, (0, 0, 0), 2, cv2.LINE_AA)
    if angle:
        height = page.shape[0]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        return np.asarray(cv2.warpAffine(page, turn, (width, height), borderValue=(255, 255, 255)), np.uint8)
    return page


def encode(page: Image, format_: str = "PNG", **options: object) -> bytes:
    """A page as an image file."""
    stream = BytesIO()
    Pil.fromarray(page[:, :, ::-1]).save(stream, format_, **options)
    return stream.getvalue()


def pdf_of(pages: Sequence[Image]) -> bytes:
    """A PDF with one image a page, 72 pixels an inch at 1/2 of their size."""
    first, *rest = [Pil.fromarray(page[:, :, ::-1]) for page in pages]
    stream = BytesIO()
    first.save(stream, "PDF", save_all=True, append_images=rest, resolution=144)
    return stream.getvalue()
