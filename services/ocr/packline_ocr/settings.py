"""What an OCR bundle says about its models: `ocr.json`, typed.

Everything that the engine needs to know of a model stands here, so that a bundle whose recogniser and dictionary were
replaced by training is loaded by the same code as a base.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from packline_core.errors import BundleRejected

SETTINGS = "ocr.json"


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """A text detector of the DB family (Liao et al. 2020, arXiv:1911.08947).

    Attributes:
        file: ONNX file: float32 N x 3 x H x W in BGR order -> probability of text, N x 1 x H x W.
        mean: Of each channel, on the scale 0 to 1.
        std: Likewise.
        multiple: Sides of the input are multiples of it.
        scale: By which pages are reduced: a detector sees lines that are too small to read.
        min_side: Pixels that the short side keeps or is enlarged to.
        max_side: Pixels that the long side has at most; outweighs the other two.
        threshold: Probability from which a pixel is text.
        box_threshold: Mean probability from which a region is a line.
        unclip_ratio: How far a region is grown: area * ratio / perimeter pixels on each side.
    """

    file: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    multiple: int
    scale: float
    min_side: int
    max_side: int
    threshold: float
    box_threshold: float
    unclip_ratio: float


@dataclass(frozen=True, slots=True)
class RecogniserSettings:
    """A line recogniser with a CTC head (Graves et al. 2006).

    Attributes:
        file: ONNX file: float32 N x 3 x `height` x W in BGR order -> logits N x T x (1 + characters); class 0 is blank.
        characters: UTF-8 text file, one character a line, in the order of classes 1, 2, …; a space stands as itself.
        height: Pixels to which a line is scaled.
        mean: Of each channel, on the scale 0 to 1; padding has this value.
        std: Likewise.
        multiple: Widths of the input are multiples of it.
        min_width: Narrower lines are padded to it.
        max_width: Wider lines are squeezed to it.
        min_confidence: Lines read with less are left out.
    """

    file: str
    characters: str
    height: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    multiple: int
    min_width: int
    max_width: int
    min_confidence: float


@dataclass(frozen=True, slots=True)
class OcrSettings:
    """The whole of `ocr.json`."""

    detector: DetectorSettings
    recogniser: RecogniserSettings


def write_settings(settings: OcrSettings, folder: Path) -> None:
    """Writes `ocr.json` into a bundle's folder."""
    (folder / SETTINGS).write_text(json.dumps(asdict(settings), indent=1) + "\n", encoding="utf8")


def read_settings(path: Path) -> OcrSettings:
    """Reads `ocr.json`.

    Raises:
        BundleRejected: It is missing or not of this form.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf8"))
        parts = {name: _with_tuples(raw[name]) for name in ("detector", "recogniser")}
        return OcrSettings(DetectorSettings(**parts["detector"]), RecogniserSettings(**parts["recogniser"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleRejected(f"{path.name} does not describe OCR models: {error}", reason="SETTINGS_INVALID") from error


def read_characters(path: Path) -> tuple[str, ...]:
    """Reads a dictionary: one character a line, classes 1, 2, … in order."""
    return tuple(path.read_text(encoding="utf8").removesuffix("\n").split("\n"))


def write_characters(characters: tuple[str, ...], path: Path) -> None:
    """Writes a dictionary that `read_characters` reads."""
    path.write_text("".join(character + "\n" for character in characters), encoding="utf8", newline="\n")


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
