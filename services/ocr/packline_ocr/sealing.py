"""A base model as a sealed bundle: models, dictionary, settings, and a reference page with the answer to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from packline_core.bundle import Bundle, Reference, seal
from packline_core.runtime import Runtime

from packline_ocr.bases import write_base
from packline_ocr.engine import OcrPredictor
from packline_ocr.graph import signature

REFERENCE = "references/page.png"
_ANSWER = "references/page.png.answer.json"
_TEXT = ("PACKLINE REFERENCE", "Order no. 2026-0417", "48 x bolt M6, zinc", "Total: 1,284.50")
# When the weights were published: the same base must always get the same digest.
_PUBLISHED = datetime(2026, 6, 1, tzinfo=UTC)


def seal_base(name: str, folder: Path) -> Bundle:
    """Writes a base model's sealed bundle into the empty `folder`."""
    base = write_base(name, folder)
    write_reference(folder)
    predictor = OcrPredictor(folder, Runtime(threads=1))
    try:
        (folder / _ANSWER).write_text(predictor.answer((folder / REFERENCE).read_bytes()), encoding="utf8")
    finally:
        predictor.close()
    settings = base.settings
    return seal(
        folder,
        task="ocr",
        base=name,
        created_at=_PUBLISHED,
        signature={file: signature(folder / file) for file in (settings.detector.file, settings.recogniser.file)},
        references=(Reference(REFERENCE, _ANSWER),),
        provenance={
            "detector": base.detector.sha256,
            "recogniser": base.recogniser.sha256,
            "licence": base.base.licence,
            "source": base.base.source,
        },
    )


def write_reference(folder: Path) -> None:
    """Draws the page that every copy of a bundle must read as it did when it was sealed."""
    page = np.full((72 * len(_TEXT) + 40, 640, 3), 255, np.uint8)
    for row, text in enumerate(_TEXT):
        cv2.putText(page, text, (32, 72 * (row + 1)), cv2.FONT_HERSHEY_DUPLEX, 1.2, (0, 0, 0), 2, cv2.LINE_AA)
    path = folder / REFERENCE
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), page)
