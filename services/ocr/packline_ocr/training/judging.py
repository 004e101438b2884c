"""How a recogniser in training reads the held-out pages, by the code that serves and the metrics of the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packline_core.runtime import Runtime, create_session

from packline_ocr.domain import ReadLine
from packline_ocr.metrics import score_page
from packline_ocr.recognition import Reading, Recogniser, batches
from packline_ocr.settings import RecogniserSettings
from packline_ocr.training.corpus import JudgingPage
from packline_ocr.training.recogniser import OnnxRecogniser

_BATCH = 8
_MAX_WASTE = 0.1


class Judge:
    """Scores weights on judging pages: the detector's lines are cut once, only the reading is done again.

    Args:
        pages: The judging pages.
        settings: Of the recogniser.
        characters: Its dictionary, as grown.
        path: Where the graph is written to be opened.
        threads: CPU threads.
    """

    def __init__(
        self,
        pages: Sequence[JudgingPage],
        settings: RecogniserSettings,
        characters: Sequence[str],
        path: Path,
        threads: int,
    ) -> None:
        self._pages = pages
        self._settings = settings
        self._characters = characters
        self._path = path
        self._threads = threads

    def score(self, recogniser: OnnxRecogniser) -> dict[str, float]:
        """The task's metrics over all judging pages."""
        recogniser.write(self._path)
        session = create_session(self._path, Runtime(threads=self._threads), intra_op_threads=1)
        reader = Recogniser(session, self._settings, self._characters)
        crops = [crop for page in self._pages for crop in page.crops]
        groups = batches([reader.width(crop) for crop in crops], _BATCH, _MAX_WASTE)
        read: dict[int, Reading] = {}
        with ThreadPoolExecutor(self._threads) as pool:
            results = pool.map(lambda group: reader.read([crops[index] for index in group]), groups)
            for group, readings in zip(groups, results, strict=True):
                read.update(zip(group, readings, strict=True))
        return self._over_pages(read)

    def _over_pages(self, read: Mapping[int, Reading]) -> dict[str, float]:
        values: dict[str, float] = {}
        weights: dict[str, float] = {}
        start = 0
        for page in self._pages:
            lines = [
                ReadLine(tuple((float(x), float(y)) for x, y in quad), read[index].text, read[index].confidence)
                for index, quad in enumerate(page.quads, start)
                if read[index].confidence >= self._settings.min_confidence
            ]
            start += len(page.quads)
            for name, count in score_page(page.truth, lines).items():
                values[name] = values.get(name, 0.0) + count.value
                weights[name] = weights.get(name, 0.0) + count.weight
        return {name: value / weights[name] for name, value in values.items() if weights[name]}
