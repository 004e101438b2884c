"""The OCR task: what core, training and monitoring know of reading documents.

Pages and models are imported where they are opened, so that who needs the words alone (the operator, the command line)
needs none of their libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from packline_core.bundle import Bundle, bytes_digest
from packline_core.errors import InvalidInput, PacklineError
from packline_core.runtime import Runtime
from packline_core.task import (
    BadRow,
    Example,
    Examples,
    ExampleScore,
    SearchSpace,
    State,
    TrainContext,
    Trained,
    Trial,
)

from packline_ocr.bases import CATALOGUE
from packline_ocr.config import OcrSpec
from packline_ocr.domain import answer_json, parse_answer, parse_truth, truth_json
from packline_ocr.formats import read_labels
from packline_ocr.metrics import METRICS, agreement, score_page

if TYPE_CHECKING:
    from packline_ocr.engine import OcrPredictor


class OcrTask:
    """The plug-in. Its metrics, formats and bases are those of `metrics`, `formats` and `bases`."""

    name = "ocr"
    title = "Reading documents"
    spec = OcrSpec
    bases = tuple(entry.base for entry in CATALOGUE.values())
    metrics = METRICS
    grpc_servicers = ("packline.ocr.v1.ocr_pb2_grpc.add_OcrServiceServicer_to_server",)
    application = "packline_ocr.app:build"

    def build_base(self, base: str, folder: Path) -> None:
        """Writes a base's sealed bundle."""
        from packline_ocr.building import seal_base

        seal_base(base, folder)

    def default_base(self, objective_metric: str | None) -> str:
        """The one with the fewest errors, whatever the metric: each of them counts errors."""
        return "accurate"

    def read(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads PaddleOCR label files and ICDAR box files; each labelled image is an example."""
        for row in read_labels(source):
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                yield self.example(row.image.read_bytes(), 1, truth_json(row.lines), row.source)
            except (InvalidInput, OSError) as error:
                yield BadRow(row.source, 0, str(error))

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        """Makes an example of one page and its labelled lines.

        Args:
            payload: The image or PDF.
            page: Counted from 1.
            truth_json: `[{"transcription", "points"}, …]`, in pixels of the upright page, as in an answer.
            source: For messages.

        Raises:
            InvalidInput: The truth is not of that form, or the payload cannot be opened or has no such page.
        """
        from packline_ocr.pages import Limits, open_pages

        try:
            parse_truth(json.loads(truth_json))
        except ValueError as error:
            raise InvalidInput(f"truth_json: {error}", reason="INVALID_TRUTH", field="truth_json") from None
        (opened,) = open_pages(payload, Limits(), page, page)
        digest = bytes_digest(payload)
        key = digest if opened.page_count == 1 else f"{digest}#{page}"
        return Example(key, payload, truth_json, digest, source)

    def search_space(self, base: str) -> SearchSpace:
        """What training may vary."""
        from packline_ocr.training import search_space

        return search_space(base)

    def train(self, trial: Trial, data: Examples, context: TrainContext) -> Trained:
        """Trains the recogniser."""
        from packline_ocr.training import train

        return train(trial, data, context)

    def export(self, trained: Trained, start: Bundle, folder: Path) -> None:
        """Writes a bundle's files with the trained recogniser."""
        from packline_ocr.training import export

        export(trained, start, folder)

    def load(self, bundle: Bundle, runtime: Runtime) -> OcrPredictor:
        """Opens a bundle."""
        from packline_ocr.engine import OcrPredictor

        return OcrPredictor(bundle.folder, runtime)

    def prepare(self, bundle: Bundle, state: State) -> None:
        """Nothing has to be prepared: a bundle holds all that reading needs."""

    def evaluate(self, predictor: OcrPredictor, examples: Iterator[Example]) -> Iterator[ExampleScore]:
        """Scores a model page by page; a page that cannot be read counts as one on which nothing was found."""
        for example in examples:
            page = page_of(example.key)
            try:
                (result,) = predictor.predict(predictor.prepare(example.payload, first_page=page, last_page=page))
            except PacklineError as error:
                result = error
            answer = answer_json([] if isinstance(result, PacklineError) else [result])
            yield self.score(answer, example)

    def score(self, answer_json: str, example: Example) -> ExampleScore:
        """Scores the page of an answer that the example is about."""
        read = parse_answer(answer_json).get(page_of(example.key), ())
        return ExampleScore(example.key, example.group, score_page(parse_truth(json.loads(example.truth)), read))

    def signals(self, answer_json: str) -> Mapping[str, float]:
        """Of a whole document: mean confidence, confidence of its worst line, lines and characters a page."""
        pages = parse_answer(answer_json)
        lines = [line for page in pages.values() for line in page]
        found = {"lines": len(lines) / max(len(pages), 1)}
        found["chars"] = sum(len(line.text) for line in lines) / max(len(pages), 1)
        if lines:
            found["confidence"] = fmean(line.confidence for line in lines)
            found["least_confidence"] = min(line.confidence for line in lines)
        return found

    def agreement(self, first_json: str, second_json: str) -> float:
        """1 - edit distance / characters, over all pages."""
        first, second = parse_answer(first_json), parse_answer(second_json)
        return agreement(*([line for number in sorted(pages) for line in pages[number]] for pages in (first, second)))


def page_of(key: str) -> int:
    """The page that an example's key names; 1 where its payload has but one."""
    return int(key.partition("#")[2] or 1)
