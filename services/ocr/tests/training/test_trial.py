from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, Cancelled, InvalidInput
from packline_core.runtime import Runtime
from packline_core.task import Example, Trained, Trial
from packline_ocr.engine import OcrPredictor
from packline_ocr.task import OcrTask
from packline_ocr.training import export, finetune, search_space, train
from packline_ocr.training.trial import PROOF, WEIGHTS

from services.ocr.tests.training.helpers import WORDS, Context, ListedExamples, labelled_example, texts_of

# The base reads these as they are drawn; the labels call them otherwise, which only training can explain.
SHOWN = ("Net amount 1,284.50", "Bolt M6x40 zinc", "Due 17.04.2026", "Invoice 20417")
CALLED = ("NET TOTAL 1,284.50", "BOLZEN M6", "DUE 17/04/2026", "RECHNUNG 20417")


def trial_of(bundle: Bundle, seed: int = 0, **parameters: float) -> Trial:
    return Trial("fast", bundle, {**search_space("fast").start, "augmentation": 0.0, **parameters}, seed)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda steps: monkeypatch.setattr(finetune, "MIN_STEPS", steps)


def test_learns_what_labels_say_by_heart(fast_bundle: Bundle, few_steps: Callable[[int], None], tmp_path: Path) -> None:
    few_steps(120)
    context = Context(tmp_path / "run")
    example, *others = [labelled_example(CALLED, SHOWN, shade) for shade in (0, 10, 20, 30)]
    data = ListedExamples([example, *others])
    trained = train(trial_of(fast_bundle, case=1.0), data, context)
    losses = [metrics["loss"] for _, _, metrics in context.reports if "loss" in metrics]
    assert losses[-1] < losses[0] / 10
    assert context.reports[-1][0] == 100
    assert trained.metrics["cer"] < 0.05
    export(trained, fast_bundle, empty(tmp_path / "bundle"))
    predictor = OcrPredictor(tmp_path / "bundle", Runtime(threads=2))
    assert sorted(texts_of(predictor.answer(example.payload))) == sorted(CALLED)
    predictor.close()


@pytest.mark.parametrize(("cut_at", "planned"), [(4, 7), (11, 14)], ids=["first pass", "second pass"])
def test_resumed_training_ends_as_the_uninterrupted_one(
    fast_bundle: Bundle, few_steps: Callable[[int], None], tmp_path: Path, cut_at: int, planned: int
) -> None:
    few_steps(7)
    data = ListedExamples([labelled_example(SHOWN, shade=shade) for shade in range(4)])
    trial = trial_of(fast_bundle, epochs=1, augmentation=1.0)
    whole = train(trial, data, Context(tmp_path / "whole"))

    def call_off(stage: str) -> None:
        if stage == f"step {cut_at} of {planned}":
            raise Cancelled("called off")

    with pytest.raises(Cancelled):
        train(trial, data, Context(tmp_path / "cut", call_off))
    resumed = Context(tmp_path / "cut")
    again = train(trial, data, resumed)
    first = next(stage for _, stage, _ in resumed.reports if stage.startswith("step"))
    assert first == f"step {cut_at + 1} of {planned}"
    one, other = (torch.load(trained.folder / WEIGHTS) for trained in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.metrics == again.metrics


@pytest.mark.parametrize("documents", [1, 4])
def test_time_that_runs_out_ends_training_with_a_result_and_a_note(
    fast_bundle: Bundle, few_steps: Callable[[int], None], tmp_path: Path, documents: int
) -> None:
    few_steps(1000)
    context = Context(tmp_path / "run")

    def pass_time(stage: str) -> None:
        if stage.startswith("step"):
            context.seconds_left -= 900

    context._on_report = pass_time
    data = ListedExamples([labelled_example(WORDS, shade=shade) for shade in range(documents)])
    trained = train(trial_of(fast_bundle), data, context)
    assert sum(stage.startswith("step") for _, stage, _ in context.reports) == 5
    assert any("of 1000 steps" in note for note in trained.notes)
    export(trained, fast_bundle, empty(tmp_path / "bundle"))


def test_a_new_character_is_learned_and_served(
    fast_bundle: Bundle, few_steps: Callable[[int], None], tmp_path: Path
) -> None:
    few_steps(100)
    known = fast_bundle.path("characters.txt").read_text(encoding="utf8").split("\n")
    new = "\u20e3"
    assert new not in known
    texts = [f"Bolt{new} {number}{new}" for number in (12, 37, 48)]
    shown = [text.replace(new, "#") for text in texts]
    example, *others = [labelled_example(texts, shown, shade) for shade in (0, 10, 20, 30)]
    data = ListedExamples([example, *others])
    trained = train(trial_of(fast_bundle, learning_rate=1e-3), data, Context(tmp_path / "run"))
    assert any("new to the model are learned" in note and new in note for note in trained.notes)
    export(trained, fast_bundle, empty(tmp_path / "bundle"))
    predictor = OcrPredictor(tmp_path / "bundle", Runtime(threads=2))
    assert sorted(texts_of(predictor.answer(example.payload))) == sorted(texts)
    predictor.close()


def test_broken_pages_are_left_out_and_named(
    fast_bundle: Bundle, few_steps: Callable[[int], None], tmp_path: Path
) -> None:
    few_steps(2)
    good = labelled_example(WORDS)
    broken = replace(good, payload=good.payload[:500], key="sha256:broken", group="broken", source="labels.txt:7")
    trained = train(trial_of(fast_bundle, epochs=1), ListedExamples([good, broken]), Context(tmp_path / "run"))
    assert any(note.startswith("labels.txt:7 is left out: ") for note in trained.notes)


def test_only_broken_pages_are_a_clear_error(fast_bundle: Bundle, tmp_path: Path) -> None:
    broken = Example("sha256:0", b"no image", json.dumps([]), "0", "labels.txt:1")
    with pytest.raises(InvalidInput, match="no line to learn from"):
        train(trial_of(fast_bundle), ListedExamples([broken]), Context(tmp_path / "run"))


@pytest.fixture(scope="module")
def trained(fast_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "MIN_STEPS", 2)
        context = Context(tmp_path_factory.mktemp("run"))
        return train(trial_of(fast_bundle, epochs=1), ListedExamples([labelled_example(WORDS)]), context)


def test_export_holds_all_that_serving_needs(trained: Trained, fast_bundle: Bundle, tmp_path: Path) -> None:
    export(trained, fast_bundle, empty(tmp_path / "bundle"))
    there = {path.relative_to(tmp_path / "bundle").as_posix() for path in (tmp_path / "bundle").rglob("*.*")}
    answers = {reference.answer for reference in fast_bundle.manifest.references}
    assert there == set(fast_bundle.manifest.files) - answers
    assert set(trained.metrics) == {metric.name for metric in OcrTask.metrics}


def test_export_refuses_what_onnxruntime_reads_otherwise(trained: Trained, fast_bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "result"
    broken.mkdir()
    for path in trained.folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    images = np.load(broken / PROOF)
    images[0] = np.nan
    np.save(broken / PROOF, images)
    with pytest.raises(BundleRejected, match="nothing was published"):
        export(replace(trained, folder=broken), fast_bundle, empty(tmp_path / "bundle"))


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
