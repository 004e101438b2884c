"""A trained recommender's files into a bundle's folder, proved to answer as what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime, create_session
from packline_core.task import Trained

from packline_recommendation.layout import MODEL
from packline_recommendation.training.output import FILES, PROOF

TOLERANCE = 1e-4
"""Largest difference between a score of the graph and the trained models' own, relative where scores are above 1."""

_FIRST = 20


def export(trained: Trained, folder: Path) -> None:
    """Copies the bundle's files into the empty `folder`.

    Raises:
        BundleRejected: onnxruntime scores the proof's histories differently from the trained models.
    """
    shutil.copytree(trained.folder / FILES, folder, dirs_exist_ok=True)
    with np.load(trained.folder / PROOF) as proof:
        expected = proof["scores"]
        given = {name: proof[name] for name in ("items", "weights", "ages")}
    difference = largest_difference(folder / MODEL, given, expected)
    # Not `>`: a model that gives NaN has no place in a bundle either.
    if not difference <= TOLERANCE:
        raise BundleRejected(
            f"onnxruntime and the trained models differ by {difference:.1e} in a score ({TOLERANCE:.0e} is allowed);"
            " nothing was published",
            reason="PARITY_FAILED",
        )


def largest_difference(model: Path, given: dict[str, np.ndarray], expected: np.ndarray) -> float:
    """How far the graph is off: in the scores of what it puts first, and in what should have been there instead.

    Args:
        model: The graph.
        given: `items`, `weights` and `ages`.
        expected: float32 (histories, items), the trained models' scores.
    """
    count = min(_FIRST, expected.shape[1])
    allowed = np.ones((1, expected.shape[1]), dtype=np.bool_)
    session = create_session(model, Runtime())
    scores, indices = session.run(
        ["scores", "indices"], {**given, "allowed": allowed, "k": np.array([count], dtype=np.int64)}
    )
    own = np.take_along_axis(expected, indices, axis=1)
    # Where scores tie, the graph may put other items first, but none with other scores.
    best = -np.sort(-expected, axis=1)[:, :count]
    scale = np.maximum(np.abs(best), 1)
    return float((np.maximum(np.abs(scores - own), np.abs(scores - best)) / scale).max())
