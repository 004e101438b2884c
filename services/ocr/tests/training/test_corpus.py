from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from packline_core.errors import InvalidInput
from packline_core.task import Example
from packline_ocr.bases import CATALOGUE
from packline_ocr.detection import Detector
from packline_ocr.domain import parse_truth
from packline_ocr.engine import OcrPredictor
from packline_ocr.pages import Limits, open_pages
from packline_ocr.training.corpus import Corpus, gather
from packline_ocr.training.lines import LabelledPage

from services.ocr.tests.training.helpers import WORDS, labelled_example

SETTINGS = CATALOGUE["fast"].settings.recogniser
KNOWN = [chr(code) for code in range(32, 127)]


def corpus_of(fast: OcrPredictor, examples: Sequence[Example], known: Sequence[str] = KNOWN) -> Corpus:
    detector: Detector = fast._detector
    pages = (
        LabelledPage(
            example.group, open_pages(example.payload, Limits())[0].decode(), parse_truth(json.loads(example.truth))
        )
        for example in examples
    )
    return gather(pages, (example.group for example in examples), detector.detect, SETTINGS, known)


def test_lines_are_cut_at_labels_and_as_detected(fast: OcrPredictor) -> None:
    corpus = corpus_of(fast, [labelled_example(WORDS)])
    assert {sample.text for sample in corpus.samples if not sample.detected} == set(WORDS)
    assert {sample.text for sample in corpus.samples if sample.detected} == set(WORDS)
    assert all(sample.crop.shape == (48, sample.width, 3) for sample in corpus.samples)


def test_documents_are_held_out_whole_and_the_same_ones_each_time(fast: OcrPredictor) -> None:
    examples = [labelled_example([f"Line {n}", f"Total {n * 7}"], shade=n) for n in range(5)]
    corpus, again = corpus_of(fast, examples), corpus_of(fast, examples[::-1])
    assert corpus.unseen
    assert len(corpus.judging) == 1
    held = {line.text for page in corpus.judging for line in page.truth}
    assert held.isdisjoint({sample.text for sample in corpus.samples})
    assert held == {sample.text for sample in corpus.held_out}
    assert held == {line.text for page in again.judging for line in page.truth}


def test_one_document_judges_itself_and_says_so(fast: OcrPredictor) -> None:
    corpus = corpus_of(fast, [labelled_example(WORDS)])
    assert not corpus.unseen
    assert len(corpus.judging) == 1
    assert any("none is held out" in note for note in corpus.notes)


def test_duplicates_count_once(fast: OcrPredictor) -> None:
    once = corpus_of(fast, [labelled_example(WORDS)])
    assert len(corpus_of(fast, [labelled_example(WORDS)] * 4).samples) == len(once.samples)


def test_contradicting_labels_are_left_out_and_named(fast: OcrPredictor) -> None:
    shown = ["Total 12.00", "Cash 20.00"]
    one, other = labelled_example(shown), labelled_example(["Total 13.00", "Cash 20.00"], shown)
    corpus = corpus_of(fast, [one, other])
    assert {sample.text for sample in corpus.samples} == {"Cash 20.00"}
    (note,) = [note for note in corpus.notes if "contradict" in note]
    assert "'Total 12.00' / 'Total 13.00'" in note


def test_new_characters_are_learned_where_seen_often_and_named_where_not(fast: OcrPredictor) -> None:
    shown = ["Total 55.00", "Cash 55.50", "Rare 1", "Plain 2"]
    known = [char for char in KNOWN if char not in "5R"]
    corpus = corpus_of(fast, [labelled_example(shown)], known)
    assert corpus.new_characters == ("5",)
    assert "Rare 1" not in {sample.text for sample in corpus.samples}
    assert {"Total 55.00", "Plain 2"} <= {sample.text for sample in corpus.samples}
    assert any("too rare to learn" in note and "'R' (1x)" in note and "1 lines" in note for note in corpus.notes)


@pytest.mark.parametrize("texts", [[], ["  "], ["§"]])
def test_nothing_to_learn_is_a_clear_error(fast: OcrPredictor, texts: list[str]) -> None:
    with pytest.raises(InvalidInput, match="no line to learn from"):
        corpus_of(fast, [labelled_example(texts)])


def test_no_pages_is_a_clear_error(fast: OcrPredictor) -> None:
    with pytest.raises(InvalidInput, match="no line to learn from"):
        corpus_of(fast, [])
