"""Labelled pages drawn for the tests, and a world for a trial to run in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from packline_core.task import Example
from packline_ocr.domain import LabelledLine, truth_json
from packline_ocr.task import OcrTask

WORDS = ("Invoice 20417", "Net amount 1,284.50", "Bolt M6x40 zinc", "Due 17.04.2026")


def labelled_example(texts: Sequence[str], shown: Sequence[str] | None = None, shade: int = 0) -> Example:
    """A page on which `shown` is drawn (`texts` where left out), labelled with `texts`."""
    page = np.full((80 * len(texts) + 60, 640, 3), 255 - shade, np.uint8)
    lines = []
    for row, (text, drawn) in enumerate(zip(texts, shown or texts, strict=True)):
        left, base = 40, 80 * row + 80
        cv2.putText(page, drawn, (left, base), cv2.FONT_HERSHEY_DUPLEX, 1.1, (0, 0, 0), 2, cv2.LINE_AA)
        (width, height), below = cv2.getTextSize(drawn, cv2.FONT_HERSHEY_DUPLEX, 1.1, 2)
        top, right, bottom = base - height - 4.0, left + width + 4.0, base + below
        lines.append(LabelledLine(((36.0, top), (right, top), (right, bottom), (36.0, bottom)), text))
    payload = cv2.imencode(".png", page)[1].tobytes()
    return OcrTask().example(payload, 1, truth_json(lines), "test")


class ListedExamples:
    """`packline_core.task.Examples` over a list."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)


class Context:
    """`packline_core.task.TrainContext` whose time stands still, so that no test hangs on the machine's speed."""

    threads = 2

    def __init__(self, checkpoints: Path, on_report: Callable[[str], None] = lambda stage: None) -> None:
        checkpoints.mkdir(parents=True, exist_ok=True)
        self.checkpoints = checkpoints
        self.seconds_left = 3600.0
        self.reports: list[tuple[float, str, Mapping[str, float]]] = []
        self._on_report = on_report

    def report(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        self.reports.append((percent, stage, metrics))
        self._on_report(stage)


def texts_of(answer: str) -> list[str]:
    """The lines of an answer."""
    return [line["text"] for page in json.loads(answer)["pages"] for line in page["lines"]]
