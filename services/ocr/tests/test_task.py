from __future__ import annotations

import json
from pathlib import Path

import pytest
from packline_core.bundle import open_bundle, verify
from packline_core.errors import InvalidInput
from packline_core.manifest import parse_pack
from packline_core.runtime import Runtime
from packline_core.task import BadRow, Example, get_task
from packline_ocr.domain import LabelledLine, truth_json
from packline_ocr.engine import OcrPredictor
from packline_ocr.formats import write_paddle
from packline_ocr.task import OcrTask

from services.ocr.tests.drawing import TEXT, draw_page, encode, pdf_of

TASK = OcrTask()


def truth(texts: tuple[str, ...] = TEXT) -> str:
    rows = [
        ((50.0, y), (500.0, y), (500.0, y + 44), (50.0, y + 44)) for y in (46.0 + 80 * n for n in range(len(texts)))
    ]
    return truth_json([LabelledLine(points, text) for points, text in zip(rows, texts, strict=True)])


def test_is_found_by_its_entry_point() -> None:
    assert isinstance(get_task("ocr"), OcrTask)


def test_a_manifest_takes_its_part_and_names_what_is_wrong() -> None:
    raw = {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "a"}}
    pack = parse_pack({**raw, "spec": {"task": "ocr", "ocr": {"maxPages": 5, "pdfDpi": 150}}})
    assert TASK.spec.model_validate(pack.spec.options).limits().max_pages == 5
    for part in ({"pdfDpi": 20}, {"dpi": 150}):
        with pytest.raises(InvalidInput) as caught:
            parse_pack({**raw, "spec": {"task": "ocr", "ocr": part}})
        assert caught.value.field == f"spec.ocr.{next(iter(part))}"


@pytest.mark.parametrize("name", [base.name for base in TASK.bases])
def test_base_bundles_are_the_same_each_time_and_answer_their_reference(name: str, tmp_path: Path) -> None:
    digests = set()
    for copy in ("one", "two"):
        (tmp_path / copy).mkdir()
        TASK.build_base(name, tmp_path / copy)
        digests.add(verify(tmp_path / copy).digest)
    (_,) = digests
    bundle = open_bundle(tmp_path / "one")
    (reference,) = bundle.manifest.references
    predictor = TASK.load(bundle, Runtime(threads=2))
    answer = predictor.answer(bundle.path(reference.payload).read_bytes())
    predictor.close()
    assert TASK.agreement(answer, bundle.path(reference.answer).read_text(encoding="utf8")) > 0.98
    assert "PACKLINE REFERENCE" in answer
    assert bundle.manifest.signature["recogniser.onnx"]["inputs"][0][2][1:3] == [3, 48]


def test_examples_are_read_with_their_bad_rows(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(draw_page()))
    (tmp_path / "b.png").write_bytes(b"no image")
    lines = [LabelledLine(((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)), "x")]
    write_paddle(tmp_path / "labels.txt", [("a.png", lines), ("b.png", lines)])
    example, bad = TASK.read(tmp_path)
    assert isinstance(example, Example)
    assert example.key == example.group
    assert json.loads(example.truth)[0]["transcription"] == "x"
    assert isinstance(bad, BadRow)
    assert "neither a JPEG" in bad.reason


@pytest.mark.parametrize("wrong", ["", "{}", '[{"transcription": 5}]'])
def test_truth_of_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        TASK.example(encode(draw_page()), 1, wrong, "here")
    assert caught.value.field == "truth_json"


def test_page_of_a_document_is_an_example_of_its_own() -> None:
    payload = pdf_of([draw_page(), draw_page()])
    first, second = (TASK.example(payload, page, truth(), "here") for page in (1, 2))
    assert first.key != second.key
    assert first.group == second.group
    with pytest.raises(InvalidInput):
        TASK.example(payload, 3, truth(), "here")


def test_evaluation_scores_the_page_that_the_example_is_about(fast: OcrPredictor) -> None:
    payload = pdf_of([draw_page(["Another page"]), draw_page()])
    # Drawn at 200 dpi, the pages of 144 pixels an inch are that much larger.
    grown = json.loads(truth())
    for line in grown:
        line["points"] = [[x * 200 / 144, y * 200 / 144] for x, y in line["points"]]
    example = TASK.example(payload, 2, json.dumps(grown), "here")
    (score,) = TASK.evaluate(fast, iter([example]))
    assert (score.key, score.group) == (example.key, example.group)
    assert score.counts["cer"].weight == len("".join(TEXT).replace(" ", ""))
    assert score.counts["cer"].value <= 1
    assert score.counts["invented"].value == 0
    assert TASK.score(fast.answer(payload), example) == score


def test_page_that_cannot_be_read_counts_as_missed(fast: OcrPredictor) -> None:
    example = Example("sha256:0", b"broken", truth(), "sha256:0", "here")
    (score,) = TASK.evaluate(fast, iter([example]))
    assert score.counts["cer"].value == score.counts["cer"].weight > 0
    assert score.counts["exact"].value == 0


def test_signals_and_agreement(fast: OcrPredictor) -> None:
    answer, blank = fast.answer(encode(draw_page())), '{"pages": [{"page": 1, "lines": []}]}'
    signals = TASK.signals(answer)
    assert signals["lines"] == len(TEXT)
    assert 0.8 < signals["least_confidence"] <= signals["confidence"] <= 1
    assert TASK.signals(blank) == {"lines": 0, "chars": 0}
    assert TASK.agreement(answer, answer) == 1
    assert TASK.agreement(answer, blank) == 0


def test_default_base_is_in_the_catalogue() -> None:
    assert TASK.default_base(None) in {base.name for base in TASK.bases}
