"""A base model as a sealed bundle: models, dictionary, settings, and a reference page with the answer to it.

Apart from the catalogue, because `onnx`, which rewrites the graphs, is of no use where bundles are served.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import onnx
from packline_core.bundle import Bundle, Reference, seal
from packline_core.runtime import Runtime

from packline_ocr.bases import OcrBase, Weights, get_base, locate
from packline_ocr.engine import OcrPredictor
from packline_ocr.graph import signature_of, without_softmax, write_for_serving
from packline_ocr.settings import write_characters, write_settings

REFERENCE = "references/page.png"
_ANSWER = "references/page.png.answer.json"
_TEXT = ("PACKLINE REFERENCE", "Order no. 2026-0417", "48 x bolt M6, zinc", "Total: 1,284.50")
# When the weights were published, not when they were packed: building a base again must not make another bundle of it.
_PUBLISHED = datetime(2026, 6, 1, tzinfo=UTC)


def seal_base(name: str, folder: Path) -> Bundle:
    """Writes a base model's sealed bundle into the empty `folder`."""
    base = _write_base(name, folder)
    _draw_reference(folder)
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
        signature={file: signature_of(folder / file) for file in (settings.detector.file, settings.recogniser.file)},
        references=(Reference(REFERENCE, _ANSWER),),
        provenance={
            "detector": base.detector.sha256,
            "recogniser": base.recogniser.sha256,
            "licence": base.base.licence,
            "source": base.base.source,
        },
    )


def _draw_reference(folder: Path) -> None:
    """Draws the page that every copy of a bundle must read as it did when it was sealed."""
    page = np.full((72 * len(_TEXT) + 40, 640, 3), 255, np.uint8)
    for row, text in enumerate(_TEXT):
        cv2.putText(page, text, (32, 72 * (row + 1)), cv2.FONT_HERSHEY_DUPLEX, 1.2, (0, 0, 0), 2, cv2.LINE_AA)
    path = folder / REFERENCE
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), page)


def _characters_of(base: OcrBase) -> tuple[str, ...]:
    """A base's dictionary, classes 1, 2, … in order; the space, which upstream leaves implicit, is the last."""
    path = locate(base.characters)
    if path.suffix == ".onnx":
        metadata = {p.key: p.value for p in onnx.load(str(path), load_external_data=False).metadata_props}
        text = metadata["character"]
    else:
        text = path.read_text(encoding="utf8")
    return (*text.removesuffix("\n").split("\n"), " ")


def _write_base(name: str, folder: Path) -> OcrBase:
    """Writes a base's models, dictionary and settings into `folder`, in the form that the engine loads."""
    base = get_base(name)
    detector, recogniser = base.settings.detector, base.settings.recogniser
    write_for_serving(_load(base.detector), folder / detector.file)
    write_for_serving(without_softmax(_load(base.recogniser)), folder / recogniser.file)
    write_characters(_characters_of(base), folder / recogniser.characters)
    write_settings(base.settings, folder)
    return base


def _load(weights: Weights) -> onnx.ModelProto:
    return onnx.load(str(locate(weights)))
