from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, FailedPrecondition, InvalidInput
from packline_core.runtime import Runtime
from packline_ocr.domain import Page
from packline_ocr.engine import OcrPredictor
from packline_ocr.pages import Limits
from packline_ocr.settings import SETTINGS

from services.ocr.tests.drawing import TEXT, draw_page, encode, pdf_of


def texts(page: object) -> list[str]:
    assert isinstance(page, Page)
    assert [line.order for line in page.lines] == list(range(len(page.lines)))
    return [line.text for line in page.lines]


def read(predictor: OcrPredictor, payload: bytes, **options: int) -> list[Page]:
    pages = predictor.predict(predictor.prepare(payload, **options))
    assert all(isinstance(page, Page) for page in pages)
    return [page for page in pages if isinstance(page, Page)]


def test_reads_a_page_in_order(fast: OcrPredictor) -> None:
    (page,) = read(fast, encode(draw_page()))
    assert texts(page) == list(TEXT)
    assert (page.number, page.page_count, page.width, page.height) == (1, 1, 600, 300)
    assert all(0.8 < line.confidence <= 1 for line in page.lines)
    ink = np.argwhere(draw_page()[:120, :, 0] < 128)
    (y0, x0), (y1, x1) = ink.min(axis=0), ink.max(axis=0)
    first = page.lines[0].points
    assert first[:, 0] == pytest.approx([x0, x1, x1, x0], abs=12)
    assert first[:, 1] == pytest.approx([y0, y0, y1, y1], abs=12)


def test_reads_a_turned_page(fast: OcrPredictor) -> None:
    (page,) = read(fast, encode(draw_page(angle=6)))
    assert texts(page) == list(TEXT)


def test_blank_page_has_no_lines(fast: OcrPredictor) -> None:
    (page,) = read(fast, encode(np.full((200, 300, 3), 255, np.uint8)))
    assert page.lines == ()


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3)])
def test_pages_too_small_for_text(size: tuple[int, int], fast: OcrPredictor) -> None:
    (page,) = read(fast, encode(np.zeros((*size, 3), np.uint8)))
    assert page.lines == ()


def test_a_batch_of_many_calls_answers_as_each_alone(fast: OcrPredictor) -> None:
    files = [encode(draw_page([f"Order {n}", f"Total {n * 7}.50"][: 1 + n % 2])) for n in range(100, 107)]
    items = [fast.prepare(file)[0] for file in files]
    together = [texts(page) for page in fast.predict(items)]
    assert together == [texts(fast.predict([item])[0]) for item in items]
    assert together[0] == ["Order 100"]


def test_a_page_that_cannot_be_read_spoils_no_other(fast: OcrPredictor) -> None:
    good = encode(draw_page())
    noisy = encode(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8), "JPEG")
    items = [fast.prepare(payload)[0] for payload in (good, noisy[: len(noisy) // 2], good)]
    first, broken, last = fast.predict(items)
    assert isinstance(broken, InvalidInput)
    assert broken.reason == "IMAGE_CORRUPT"
    assert texts(first) == texts(last) == list(TEXT)


def test_pages_of_a_pdf(fast: OcrPredictor) -> None:
    payload = pdf_of([draw_page([f"Page {number}"]) for number in (1, 2, 3)])
    assert [texts(page) for page in read(fast, payload)] == [["Page 1"], ["Page 2"], ["Page 3"]]
    (second,) = read(fast, payload, first_page=2, last_page=2)
    assert (second.number, second.page_count) == (2, 3)
    with pytest.raises(InvalidInput):
        fast.prepare(payload, limits=Limits(max_pages=2))


def test_calls_at_the_same_time(fast: OcrPredictor) -> None:
    files = [encode(draw_page([f"Call {number}"])) for number in range(20, 28)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda file: texts(read(fast, file)[0]), files))
    assert found == [[f"Call {number}"] for number in range(20, 28)]


def test_answer_is_the_tasks_json(fast: OcrPredictor) -> None:
    answer = json.loads(fast.answer(encode(draw_page(["Total 12.50"]))))
    ((page,),) = answer.values()
    (line,) = page["lines"]
    assert (page["page"], page["width"], page["height"]) == (1, 600, 140)
    assert line["text"] == "Total 12.50"
    assert np.array(line["points"]).shape == (4, 2)
    with pytest.raises(InvalidInput):
        fast.answer(b"nothing")


@pytest.mark.parametrize("name", ["detector.onnx", "recogniser.onnx", SETTINGS])
def test_broken_bundle_is_refused(name: str, fast_bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(fast_bundle.folder, tmp_path / "bundle")
    (tmp_path / "bundle" / name).write_bytes(b"{ not what it should be")
    with pytest.raises(BundleRejected):
        OcrPredictor(tmp_path / "bundle", Runtime(threads=1))


def test_provider_that_is_not_there_is_named(fast_bundle: Bundle) -> None:
    with pytest.raises(FailedPrecondition, match="NoSuchExecutionProvider"):
        OcrPredictor(fast_bundle.folder, Runtime(("NoSuchExecutionProvider",)))
