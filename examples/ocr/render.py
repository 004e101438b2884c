"""Renders the demo documents of this example: `python -m examples.ocr.render [--out FOLDER]`.

Every page is drawn and degraded by program; none is photographed or scanned. A page is decided by its seed alone.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from examples.ocr.rendering import forms, ink, paper, slips
from examples.ocr.rendering.sheet import Sheet

LAYOUTS: tuple[Callable[[random.Random], Sheet], ...] = (
    slips.delivery_note,
    slips.goods_receipt,
    forms.certificate,
    forms.work_order,
    forms.packing_list,
    slips.weigh_ticket,
)
PARTS = {"inbox": (60, 1000), "holdout": (30, 9000)}
"""Name of a part: how many pages, and the seed of its first."""
FOLDER = Path(__file__).parent / "documents"


@dataclass(frozen=True)
class Page:
    """A rendered page.

    Attributes:
        name: such as delivery_note-1000.
        image: uint8 (height, width, 3), RGB.
        jpeg: the same as a JPEG file's bytes.
        labels: in PaddleOCR's form: `transcription` and `points`, in pixels, clockwise from the upper left corner.
    """

    name: str
    image: npt.NDArray[np.uint8]
    jpeg: bytes
    labels: list[dict[str, object]]


def _corners(box: ink.Box, homography: npt.NDArray[np.float64], width: int, height: int) -> list[list[int]]:
    x0, y0, x1, y1 = box
    flat = np.array([[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]], np.float64)
    moved = cv2.perspectiveTransform(flat, homography)[0]
    return [[round(float(x)), round(float(y))] for x, y in moved.clip((0, 0), (width - 1, height - 1))]


def render(seed: int) -> Page:
    """Renders the page of one seed: the seed also chooses the kind of document.

    Raises:
        FileNotFoundError: a font is not installed.
    """
    words, pixels = random.Random(seed), np.random.default_rng(seed)
    sheet = LAYOUTS[seed % len(LAYOUTS)](words)
    sheet.height = round(max(item.y for item in sheet.items)) + words.randint(90, 150)
    wear = ink.Wear(
        ribbon=float(pixels.beta(2.3, 2.0)),
        weak_pin=int(pixels.integers(6, 18)) if pixels.random() < 0.35 else -1,
        dead_columns=tuple(int(c) for c in pixels.integers(0, sheet.width * ink.SCALE, pixels.integers(0, 6))),
        streak=float(pixels.uniform(0.3, 0.9)),
    )
    photographed = bool(pixels.random() < 0.45)
    capture = paper.Capture(
        photographed=photographed,
        degrees=float(pixels.uniform(-1.2, 1.2)),
        blur=float(pixels.uniform(0.45, 1.05 if photographed else 0.85)),
        noise=float(pixels.uniform(1.5, 6.0)),
        quality=int(pixels.integers(44, 66)),
    )
    page = paper.blank(sheet, pixels)
    texts = ink.print_sheet(sheet, page, wear, pixels)
    paper.damage(page, sheet, pixels)
    image, homography = paper.take(page, sheet, capture, pixels)
    height, width = image.shape[:2]
    done, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, capture.quality])
    if not done:
        raise OSError("OpenCV could not encode the page as JPEG")
    labels: list[dict[str, object]] = [
        {"transcription": text, "points": _corners(box, homography, width, height)} for text, box in texts
    ]
    return Page(f"{sheet.kind}-{seed}", image, encoded.tobytes(), labels)


def main() -> None:
    """Writes `FOLDER/<part>/img/*.jpg` and `FOLDER/<part>/labels.txt` for every part."""
    parser = argparse.ArgumentParser(description="Render the demo documents.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    out: Path = parser.parse_args().out
    for part, (count, first) in PARTS.items():
        (out / part / "img").mkdir(parents=True, exist_ok=True)
        rows = []
        for seed in range(first, first + count):
            page = render(seed)
            (out / part / "img" / f"{page.name}.jpg").write_bytes(page.jpeg)
            rows.append(f"img/{page.name}.jpg\t{json.dumps(page.labels, ensure_ascii=False)}\n")
        (out / part / "labels.txt").write_text("".join(rows), encoding="utf8")


if __name__ == "__main__":
    main()
