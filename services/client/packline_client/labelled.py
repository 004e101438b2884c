"""Labelled data through the serving path: reads each document with a Pack, scores it or corrects it.

The task's own code reads the data's format and scores answers; the model is asked over gRPC, as every caller does.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from packline_core.errors import AlreadyExists, FailedPrecondition, InvalidInput
from packline_core.task import Example, ExampleScore, Questioning, Task, get_task

from packline_client.files import checked_source
from packline_client.flight import in_flight

if TYPE_CHECKING:
    from packline_client.client import Client
    from packline_client.ocr import Document

Complain = Callable[[str], None]
_MOST_COMPLAINTS = 100  # the rest is counted


@dataclass(frozen=True, slots=True)
class Answer:
    """What a Pack said to one payload; `answer_json` is in the task's own JSON."""

    answer_json: str
    prediction_id: str
    model_version: str


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric over a set, with the bounds of its 90 % interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How a Pack did on labelled data.

    Attributes:
        metrics: Of the task, in its order.
        n: Examples scored.
        failed: Examples that got no answer.
        bad_rows: Rows of the data that are no examples.
        per_second: Examples answered a second.
        model_version: Who answered; joined by commas where versions changed meanwhile.
    """

    metrics: tuple[Measured, ...]
    n: int
    failed: int
    bad_rows: int
    per_second: float
    model_version: str


@dataclass(frozen=True, slots=True)
class Corrections:
    """What came of correcting a labelled set."""

    new: int
    known: int
    failed: int


def ask_ocr(client: Client, pack: str, payload: bytes) -> Answer:
    """Reads one document; the JSON is that of task ocr."""
    document = client.ocr.recognize(pack, payload)
    return Answer(ocr_answer(document), document.prediction_id, document.model_version)


def ocr_answer(document: Document) -> str:
    """A document that was read, in the JSON of task ocr."""
    pages = [
        {
            "page": page.number,
            "width": page.width,
            "height": page.height,
            "lines": [{"points": line.points, "text": line.text, "confidence": line.confidence} for line in page.lines],
        }
        for page in document.pages
    ]
    return json.dumps({"pages": pages}, ensure_ascii=False)


def ask_recommendation(client: Client, pack: str, payload: bytes) -> Answer:
    """Asks for what one user may want, by what the Pack knows of it, or by the session that is given."""
    query = json.loads(payload)
    session = () if query["user"] else [event[0] for event in query["history"]]
    answer = client.recommendation.recommend(pack, query["user"], items=session, context=query["context"], causes=False)
    results = [{"item": result.item, "score": result.score} for result in answer.results]
    text = json.dumps({"basis": answer.basis, "results": results}, ensure_ascii=False)
    return Answer(text, answer.prediction_id, answer.model_version)


_ASK: dict[str, Callable[[Client, str, bytes], Answer]] = {"ocr": ask_ocr, "recommendation": ask_recommendation}


def evaluate(client: Client, pack: str, data: Path, jobs: int, complain: Complain) -> Evaluation:
    """Scores a Pack on labelled data.

    Raises:
        InvalidInput: The data holds no example that the Pack could answer.
    """
    from packline_core.stats import bootstrap_interval

    task = _task_of(client, pack)
    rows = _Rows(task, data, complain)
    ask = _ASK[task.name]
    scores: list[ExampleScore] = []
    versions: dict[str, None] = {}
    failed = 0
    began = time.perf_counter()
    for outcome in in_flight(lambda example: ask(client, pack, example.payload), rows.examples(), jobs):
        if outcome.value is None:
            failed += 1
            complain(f"{outcome.item.source}: {outcome.error}")
            continue
        versions[outcome.value.model_version] = None
        scores.append(task.score(outcome.value.answer_json, outcome.item))
    seconds = time.perf_counter() - began
    if not scores:
        raise InvalidInput(f"{data}: no example of it could be scored", reason="NO_EXAMPLES", field="data")
    return Evaluation(
        metrics=tuple(Measured(m.name.replace("_at_", "@"), *bootstrap_interval(scores, m.name)) for m in task.metrics),
        n=len(scores),
        failed=failed,
        bad_rows=rows.bad,
        per_second=len(scores) / seconds,
        model_version=",".join(versions),
    )


def correct_all(client: Client, pack: str, data: Path, jobs: int, complain: Complain) -> Corrections:
    """Reads each labelled document with the Pack and gives its label as the correction of the answer."""
    rows = _Rows(_task_of(client, pack), data, complain)
    return correct_examples(client, pack, rows.examples(), jobs, complain)


def correct_examples(
    client: Client, pack: str, examples: Iterable[Example], jobs: int, complain: Complain
) -> Corrections:
    """The same for examples at hand."""
    ask = _ASK[_task_of(client, pack).name]

    def correct(example: Example) -> bool:
        answer = ask(client, pack, example.payload)
        try:
            return client.monitoring.correct(
                pack,
                example.truth,
                prediction_id=answer.prediction_id,
                # The answer may not be recorded yet, or not be kept.
                payload=example.payload,
                page=_page(example),
                # Of the label alone, so that reading the same folder again adds nothing.
                correction_id=hashlib.sha256(f"{example.key}\n{example.truth}".encode()).hexdigest(),
            ).created
        except AlreadyExists:
            return False  # given for an earlier answer to the same document

    new = known = failed = 0
    for outcome in in_flight(correct, examples, jobs):
        if outcome.error is not None:
            failed += 1
            complain(f"{outcome.item.source}: {outcome.error}")
        elif outcome.value:
            new += 1
        else:
            known += 1
    return Corrections(new, known, failed)


class _Rows:
    """The examples of some data; rows that are none are counted and reported as they come up."""

    def __init__(self, task: Task, data: Path, complain: Complain) -> None:
        self._task = task
        self._data = checked_source(data)
        self._complain = complain
        self.bad = 0

    def examples(self) -> Iterator[Example]:
        """Examples in the data's order."""
        read = self._task.questions if isinstance(self._task, Questioning) else self._task.read
        for row in read(self._data):
            if isinstance(row, Example):
                yield row
                continue
            self.bad += 1
            if self.bad <= _MOST_COMPLAINTS:
                self._complain(f"{row.source}{f', line {row.line}' if row.line else ''}: {row.reason}")


def _task_of(client: Client, pack: str) -> Task:
    state = client.training.pack(pack).state
    name = state.task if state else ""
    if name not in _ASK:
        raise FailedPrecondition(
            f"Pack {pack} is of task {name!r}, which this command cannot ask; it knows {', '.join(_ASK)}",
            reason="TASK_NOT_ASKED",
        )
    return get_task(name)


def _page(example: Example) -> int:
    """The page that a key `sha256:…#2` names; 1 where it names none."""
    _, _, page = example.key.partition("#")
    return int(page) if page.isdigit() else 1
