"""The OCR predictor: pages of one call or of many in, lines out.

Work is shared out by page for decoding and detection, and by batch of lines for recognition, each on one thread of its
own: on CPU that keeps every core busy to the end, where threads inside a single run wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
from packline_core.errors import PacklineError
from packline_core.runtime import Runtime, create_session

from packline_ocr.detection import Detector
from packline_ocr.domain import Image, Line, Page, Quad, answer_json
from packline_ocr.layout import reading_order
from packline_ocr.pages import Limits, PageSource, open_pages
from packline_ocr.recognition import Reading, Recogniser, batches, cut
from packline_ocr.settings import SETTINGS, read_characters, read_settings

_CPU = "CPUExecutionProvider"
_CPU_BATCH = 4
_GPU_BATCH = 64
_MAX_WASTE = 0.1
_LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Lines that were found on one page, with their crops; the page's pixels are gone by then."""

    width: int
    height: int
    quads: list[Quad]
    crops: list[Image]


class OcrPredictor:
    """Reads pages. Thread-safe.

    Args:
        folder: A bundle's folder: ONNX files, dictionary, `ocr.json`.
        runtime: Where it runs.

    Raises:
        BundleRejected: The folder's files are not those of an OCR bundle.
    """

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        settings = read_settings(folder / SETTINGS)
        self._settings = settings.recogniser
        self._threads = runtime.cpu_threads
        on_cpu = runtime.providers[0] == _CPU
        self._batch = _CPU_BATCH if on_cpu else _GPU_BATCH
        path = folder / settings.detector.file
        self._detector = Detector(create_session(path, runtime, intra_op_threads=1), settings.detector)
        # A call with fewer pages than there are threads would leave cores idle during detection.
        self._wide_detector = self._detector
        if on_cpu and self._threads > 1:
            self._wide_detector = Detector(create_session(path, runtime), settings.detector)
        self._recogniser = Recogniser(
            create_session(folder / self._settings.file, runtime, intra_op_threads=1),
            self._settings,
            read_characters(folder / self._settings.characters),
        )
        # OpenCV's own threads would fight with the pool's.
        cv2.setNumThreads(1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ocr")

    def prepare(
        self, payload: bytes, *, first_page: int = 0, last_page: int = 0, limits: Limits = _LIMITS
    ) -> list[PageSource]:
        """Opens an image or PDF; its pages are decoded by `predict`, as many at a time as there are threads.

        Args:
            payload: The file.
            first_page: First page to read, counted from 1; 0 means from the first.
            last_page: Last page to read; 0 means up to the last.
            limits: What is taken.

        Raises:
            InvalidInput: It is no readable document, or larger than the limits.
        """
        return open_pages(payload, limits, first_page, last_page)

    def predict(self, items: Sequence[PageSource]) -> list[Page | PacklineError]:
        """Reads pages of one call or of several together; for each its lines, or why it cannot be read."""
        detector = self._wide_detector if len(items) < self._threads else self._detector
        found = list(self._pool.map(lambda item: self._find(item, detector), items))
        readings = iter(self.read_crops([crop for page in found if isinstance(page, _Found) for crop in page.crops]))
        return [
            page if isinstance(page, PacklineError) else self._page(item, page, [next(readings) for _ in page.crops])
            for item, page in zip(items, found, strict=True)
        ]

    def read_crops(self, crops: Sequence[Image]) -> list[Reading]:
        """Reads crops of lines, in the order given; uint8, `height` of the settings x any width x 3, BGR."""
        groups = batches([self._recogniser.width(crop) for crop in crops], self._batch, _MAX_WASTE)
        read = self._pool.map(lambda group: self._recogniser.read([crops[index] for index in group]), groups)
        by_index = {
            index: reading
            for group, readings in zip(groups, read, strict=True)
            for index, reading in zip(group, readings, strict=True)
        }
        return [by_index[index] for index in range(len(crops))]

    def answer(self, payload: bytes) -> str:
        """The whole answer to one document in the task's own JSON; raises what `prepare` or a page brings about."""
        pages = []
        for result in self.predict(self.prepare(payload)):
            if isinstance(result, PacklineError):
                raise result
            pages.append(result)
        return answer_json(pages)

    def close(self) -> None:
        """Ends the threads; memory goes back with the predictor."""
        self._pool.shutdown()

    def _find(self, item: PageSource, detector: Detector) -> _Found | PacklineError:
        try:
            pixels = item.decode()
        except PacklineError as error:
            return error
        quads = detector.detect(pixels)
        height, width = pixels.shape[:2]
        return _Found(width, height, quads, [cut(pixels, quad, self._settings) for quad in quads])

    def _page(self, item: PageSource, found: _Found, readings: Sequence[Reading]) -> Page:
        least = self._settings.min_confidence
        kept = [i for i, reading in enumerate(readings) if reading.text.strip() and reading.confidence >= least]
        order = [kept[place] for place in reading_order([found.quads[i] for i in kept])]
        lines = tuple(
            Line(found.quads[i], readings[i].text, readings[i].confidence, place) for place, i in enumerate(order)
        )
        return Page(item.number, item.page_count, found.width, found.height, lines)
