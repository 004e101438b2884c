"""What OCR speaks of: pages, lines, quads. Plain data, no engine and no wire format."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A page's pixels: uint8, height x width x 3, in BGR order, upright."""

Quad = NDArray[np.float32]
"""Four corners in pixels, float32, 4 x 2: top left, top right, bottom right, bottom left of the text."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of text that was read.

    Attributes:
        points: Where it lies, a `Quad`.
        text: What it says.
        confidence: Mean probability of its characters, 0 to 1.
        order: Its place in the page's reading order, from 0.
    """

    points: Quad
    text: str
    confidence: float
    order: int


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """What was read on one page.

    Attributes:
        number: Counted from 1.
        page_count: Pages of the document that it belongs to.
        width: Of the upright page that quads refer to, in pixels.
        height: Likewise.
        lines: In reading order.
    """

    number: int
    page_count: int
    width: int
    height: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line as an answer's JSON has it."""

    points: tuple[tuple[float, float], ...]
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class LabelledLine:
    """One line of truth: its corners in pixels (four or more) and its text."""

    points: tuple[tuple[float, float], ...]
    text: str


def line_json(line: Line) -> dict[str, Any]:
    """A line as the field writes it: `{"points", "text", "confidence"}`."""
    return {"points": line.points.tolist(), "text": line.text, "confidence": round(line.confidence, 4)}


def answer_json(pages: Iterable[Page]) -> str:
    """A whole answer in the task's own JSON: `{"pages": [{"page", "width", "height", "lines"}]}`."""
    answer = [
        {"page": page.number, "width": page.width, "height": page.height, "lines": [line_json(x) for x in page.lines]}
        for page in pages
    ]
    return json.dumps({"pages": answer}, ensure_ascii=False)


def parse_answer(text: str) -> dict[int, tuple[ReadLine, ...]]:
    """The lines of every page of an answer in the task's own JSON, by page number."""
    return {
        page["page"]: tuple(
            ReadLine(tuple((x, y) for x, y in line["points"]), line["text"], line["confidence"])
            for line in page["lines"]
        )
        for page in json.loads(text)["pages"]
    }


def truth_json(lines: Iterable[LabelledLine]) -> str:
    """Labelled lines in PaddleOCR's form: `[{"transcription", "points"}, …]`."""
    items = [{"transcription": line.text, "points": [list(point) for point in line.points]} for line in lines]
    return json.dumps(items, ensure_ascii=False)


def parse_truth(items: Any) -> tuple[LabelledLine, ...]:
    """Reads labelled lines from PaddleOCR's form, already parsed as JSON.

    Raises:
        ValueError: Naming the item, counted from 1, and what is wrong with it.
    """
    if not isinstance(items, list):
        raise ValueError("the label is not a list of lines")
    return tuple(_labelled_line(item, number) for number, item in enumerate(items, start=1))


def _labelled_line(item: Any, number: int) -> LabelledLine:
    if not isinstance(item, Mapping) or not isinstance(item.get("transcription"), str):
        raise ValueError(f"line {number} has no text under `transcription`")
    try:
        points = tuple((float(x), float(y)) for x, y in item["points"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"line {number} has no list of [x, y] under `points`") from None
    if len(points) < 4:
        raise ValueError(f"line {number} has {len(points)} corners; 4 are needed")
    if not np.isfinite(points).all():
        raise ValueError(f"line {number} has a corner that is no finite number")
    return LabelledLine(points, item["transcription"])
