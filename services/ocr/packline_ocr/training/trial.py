"""One trial of OCR training, as the Task protocol has it: examples in, trained weights in a folder out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import torch
from packline_core.errors import InvalidInput
from packline_core.runtime import Runtime, create_session
from packline_core.task import Choice, Examples, Range, SearchSpace, TrainContext, Trained, Trial

from packline_ocr.detection import Detector
from packline_ocr.domain import parse_truth
from packline_ocr.pages import Limits, open_pages
from packline_ocr.settings import SETTINGS, read_characters, read_settings, write_characters
from packline_ocr.task import page_of
from packline_ocr.training.batching import to_tensor
from packline_ocr.training.corpus import Corpus, gather
from packline_ocr.training.finetune import FineTuning, Outcome, Recipe
from packline_ocr.training.lines import LabelledPage
from packline_ocr.training.recogniser import OnnxRecogniser

WEIGHTS = "weights.pt"
CHARACTERS = "characters.txt"
PROOF = "proof.npy"
_PROOF_LINES = 8
_SMALL_LETTERS = 0.02  # share of all letters


def search_space(base: str) -> SearchSpace:
    """What may be varied, the same for every base; it starts at what was best on receipts."""
    del base
    return SearchSpace(
        parameters={
            "learning_rate": Range(1e-4, 1e-3, log=True),
            "epochs": Range(2, 16, log=True, integer=True),
            "augmentation": Choice((0.5, 1.0, 1.5)),
            "case": Choice(("auto", 0.0, 0.5, 1.0)),
        },
        start={"learning_rate": 3e-4, "epochs": 4, "augmentation": 1.0, "case": "auto"},
    )


def train(trial: Trial, data: Examples, context: TrainContext) -> Trained:
    """Fine-tunes the recogniser of `trial.start`; goes on where the context's checkpoints hold an earlier attempt.

    Raises:
        InvalidInput: There is nothing to learn from.
        Cancelled: The run was called off.
    """
    folder = trial.start.folder
    settings = read_settings(folder / SETTINGS)
    characters = read_characters(folder / settings.recogniser.characters)
    session = create_session(folder / settings.detector.file, Runtime(threads=context.threads))
    detector = Detector(session, settings.detector)
    pages = _Pages(data, context)
    corpus = gather(pages, (example.group for example in data), detector.detect, settings.recogniser, characters)
    characters = (*characters, *corpus.new_characters)
    recogniser = OnnxRecogniser(folder / settings.recogniser.file)
    recogniser.grow(len(corpus.new_characters))
    parameters = trial.parameters
    recipe = Recipe(
        learning_rate=float(parameters["learning_rate"]),
        epochs=int(parameters["epochs"]),
        augmentation=float(parameters["augmentation"]),
        case=float(_tell_case(corpus) if parameters["case"] == "auto" else parameters["case"]),
    )
    training = FineTuning(
        recogniser,
        corpus,
        characters=characters,
        settings=settings.recogniser,
        recipe=recipe,
        seed=trial.seed,
        context=context,
    )
    outcome = training.run()
    result = context.checkpoints / "result"
    result.mkdir(exist_ok=True)
    torch.save({name: value.cpu() for name, value in recogniser.state_dict().items()}, result / WEIGHTS)
    write_characters(characters, result / CHARACTERS)
    # Lines to prove with that what is exported reads as what was trained.
    crops = [sample.crop for sample in corpus.samples[:_PROOF_LINES]]
    np.save(result / PROOF, to_tensor(crops, settings.recogniser).contiguous().numpy())
    context.report(100, "trained", outcome.metrics)
    return Trained(result, outcome.metrics, (*pages.notes, *corpus.notes, *_notes(corpus, outcome)))


class _Pages:
    """Labelled pages of examples, decoded one at a time; `notes` tells which could not be."""

    def __init__(self, data: Examples, context: TrainContext) -> None:
        self._data = data
        self._context = context
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[LabelledPage]:
        for place, example in enumerate(self._data, start=1):
            self._context.report(0, f"cutting lines of page {place} of {len(self._data)}", {})
            number = page_of(example.key)
            try:
                (opened,) = open_pages(example.payload, Limits(), number, number)
                yield LabelledPage(example.group, opened.decode(), parse_truth(json.loads(example.truth)))
            except (InvalidInput, ValueError) as error:
                self.notes.append(f"{example.source} is left out: {error}")


def _tell_case(corpus: Corpus) -> bool:
    """Whether labels say in which case a letter stands: those of some collections are capitals throughout, whatever the
    paper shows, and to heed them would unlearn small letters.
    """
    letters = [letter for sample in corpus.samples for letter in sample.text if letter.lower() != letter.upper()]
    return sum(letter.islower() for letter in letters) > _SMALL_LETTERS * len(letters)


def _notes(corpus: Corpus, outcome: Outcome) -> list[str]:
    notes = []
    if corpus.unseen:
        before, after = outcome.base_metrics.get("cer"), outcome.metrics.get("cer")
        if before is not None and after is not None:
            pages = len(corpus.judging)
            notes.append(f"On {pages} held-out pages the character error went from {before:.2%} to {after:.2%}.")
    if outcome.steps < outcome.planned:
        notes.append(
            f"The time was enough for {outcome.steps} of {outcome.planned} steps; a larger training.budget.maxMinutes"
            " gives more."
        )
    return notes
