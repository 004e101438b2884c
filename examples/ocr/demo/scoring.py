"""Reads papers through the serving path and scores what came back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from packline_client import Client
from packline_client.labelled import ask_ocr
from packline_core.stats import bootstrap_interval
from packline_core.task import ExampleScore, get_task

from examples.ocr.demo.papers import Paper
from examples.ocr.report.facts import Figure, ModelScore, Reading, TextLine


@dataclass(frozen=True, slots=True)
class Read:
    """Papers as one version read them, in their order, and its score where they are labelled."""

    readings: Sequence[Reading]
    score: ModelScore | None


def read_papers(client: Client, pack: str, papers: Sequence[Paper], label: str) -> Read:
    """Reads one paper after another; `label` names the score for people."""
    readings: list[Reading] = []
    scores: list[ExampleScore] = []
    task = get_task("ocr")
    for paper in papers:
        began = time.perf_counter()
        answer = ask_ocr(client, pack, paper.image.read_bytes())
        seconds = time.perf_counter() - began
        lines = [line for page in json.loads(answer.answer_json)["pages"][:1] for line in page["lines"]]
        readings.append(Reading(answer.model_version, tuple(_line(line) for line in lines), seconds))
        if paper.example is not None:
            scores.append(task.score(answer.answer_json, paper.example))
    if not scores:
        return Read(readings, None)
    seconds = sum(reading.seconds for reading in readings)
    versions = ",".join(sorted({reading.model_version for reading in readings}))
    cer, exact = (Figure(*bootstrap_interval(scores, name)) for name in ("cer", "exact"))
    return Read(readings, ModelScore(label, versions, cer, exact, len(scores), len(readings) / seconds))


def _line(line: dict[str, object]) -> TextLine:
    points = line["points"]
    assert isinstance(points, list)
    return TextLine(tuple((float(x), float(y)) for x, y in points), str(line["text"]), float(str(line["confidence"])))
