"""A trained recogniser as a bundle's files: the start's own graph with other weights, proved to read as torch does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime, create_session
from packline_core.task import Trained

from packline_ocr.settings import SETTINGS, read_characters, read_settings, write_characters
from packline_ocr.training.recogniser import OnnxRecogniser, predict
from packline_ocr.training.trial import CHARACTERS, PROOF, WEIGHTS

TOLERANCE = 1e-4
"""Largest difference of a probability between torch and onnxruntime."""


def export(trained: Trained, start: Bundle, folder: Path) -> None:
    """Writes detector, recogniser, dictionary, settings and reference pages into the empty `folder`.

    Raises:
        BundleRejected: onnxruntime reads the proof lines differently from torch.
    """
    answers = {reference.answer for reference in start.manifest.references}
    for name in start.manifest.files:
        if name not in answers:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(start.path(name), folder / name)
    settings = read_settings(folder / SETTINGS).recogniser
    characters = read_characters(trained.folder / CHARACTERS)
    write_characters(characters, folder / settings.characters)
    recogniser = OnnxRecogniser(start.path(settings.file))
    recogniser.grow(len(characters) + 1 - recogniser.classes)
    recogniser.load_state_dict(torch.load(trained.folder / WEIGHTS, weights_only=True))
    recogniser.write(folder / settings.file)
    images = np.load(trained.folder / PROOF)
    session = create_session(folder / settings.file, Runtime())
    (served,) = session.run(None, {session.get_inputs()[0].name: images})
    difference = float(np.abs(_softmax(served) - _softmax(predict(recogniser, images))).max())
    # Not `>`: a model that gives NaN has no place in a bundle either.
    if not difference <= TOLERANCE:
        raise BundleRejected(
            f"onnxruntime and torch differ by {difference:.1e} in a probability ({TOLERANCE:.0e} is allowed) on the"
            " trained recogniser; nothing was published",
            reason="PARITY_FAILED",
        )


def _softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()
