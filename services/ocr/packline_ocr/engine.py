"""The OCR predictor: pages of one call or of many in, lines out.

Work is shared out by page for detection and by batch of lines for recognition, each on one thread of its own: on CPU
that keeps every core busy to the end, where threads inside a single run wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from packline_core.errors import PacklineError
from packline_core.runtime import Runtime, create_session

from packline_ocr.detection import Detector
from packline_ocr.domain import Image, Line, Page, PageImage, Quad, answer_json
from packline_ocr.layout import reading_order
from packline_ocr.pages import Limits, Pages, open_pages
from packline_ocr.recognition import Reading, Recogniser, batches, cut
from packline_ocr.settings import SETTINGS, OcrSettings, read_characters, read_settings

_CPU_BATCH = 4
_GPU_BATCH = 64
_MAX_WASTE = 0.1


class OcrPredictor:
    """Reads pages. Thread-safe.

    Args:
        folder: A bundle's folder: ONNX files, dictionary, `ocr.json`.
        runtime: Where it runs.
        limits: What documents are taken.

    Raises:
        BundleRejected: The folder's files are not those of an OCR bundle.
    """

    def __init__(self, folder: Path, runtime: Runtime, limits: Limits | None = None) -> None:
        settings: OcrSettings = read_settings(folder / SETTINGS)
        self._limits = limits or Limits()
        self._settings = settings.recogniser
        on_cpu = runtime.providers[0] == "CPUExecutionProvider"
        self._batch = _CPU_BATCH if on_cpu else _GPU_BATCH
        self._threads = runtime.cpu_threads
        path = folder / settings.detector.file
        self._detector = Detector(create_session(path, runtime, intra_op_threads=1), settings.detector)
        # A call with fewer pages than threads would leave cores idle during detection.
        self._wide_detector = (
            Detector(create_session(path, runtime), settings.detector)
            if on_cpu and self._threads > 1
            else self._detector
        )
        self._recogniser = Recogniser(
            create_session(folder / self._settings.file, runtime, intra_op_threads=1),
            self._settings,
            read_characters(folder / self._settings.characters),
        )
        # OpenCV's own threads would fight with the pool's.
        cv2.setNumThreads(1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ocr")

    def prepare(self, payload: bytes, first_page: int = 0, last_page: int = 0) -> Pages:
        """Opens an image or PDF; its pages are decoded one by one, as they are asked for.

        Raises:
            InvalidInput: It is no readable document, or larger than the limits.
        """
        return open_pages(payload, self._limits, first_page, last_page)

    def predict(self, items: Sequence[PageImage]) -> list[Page | PacklineError]:
        """Reads pages of one call or of several together; for each its lines."""
        wide = len(items) < self._threads
        quads = list(
            self._pool.map(self._wide_detector.detect if wide else self._detector.detect, [p.pixels for p in items])
        )
        where = [(index, quad) for index, page in enumerate(quads) for quad in page]
        crops = list(self._pool.map(lambda place: cut(items[place[0]].pixels, place[1], self._settings), where))
        readings = self.read_crops(crops)
        pages: list[Page | PacklineError] = []
        start = 0
        for item, found in zip(items, quads, strict=True):
            pages.append(self._page(item, found, readings[start : start + len(found)]))
            start += len(found)
        return pages

    def read_crops(self, crops: Sequence[Image]) -> list[Reading]:
        """Reads crops of lines, already scaled to the recogniser's height, in the order given."""
        groups = batches([self._recogniser.width(crop) for crop in crops], self._batch, _MAX_WASTE)
        results = self._pool.map(lambda group: self._recogniser.read([crops[i] for i in group]), groups)
        read = {
            index: reading
            for group, batch in zip(groups, results, strict=True)
            for index, reading in zip(group, batch, strict=True)
        }
        return [read[index] for index in range(len(crops))]

    def answer(self, payload: bytes) -> str:
        """The whole answer to one document in the task's own JSON."""
        pages = []
        for item in self.prepare(payload):
            (page,) = self.predict([item])
            if isinstance(page, PacklineError):
                raise page
            pages.append(page)
        return answer_json(pages)

    def close(self) -> None:
        """Ends the threads; memory goes back with the predictor."""
        self._pool.shutdown()

    def _page(self, item: PageImage, quads: Sequence[Quad], readings: Sequence[Reading]) -> Page:
        kept = [i for i, r in enumerate(readings) if r.text.strip() and r.confidence >= self._settings.min_confidence]
        order = reading_order([quads[i] for i in kept])
        lines = tuple(
            Line(quads[kept[i]], readings[kept[i]].text, readings[kept[i]].confidence, place)
            for place, i in enumerate(order)
        )
        return Page(item.number, item.width, item.height, lines)
