"""The families that a recommender is chosen from, and how each is trained on a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from packline_recommendation.domain import Floats, Log
from packline_recommendation.training.factors import Factors, als
from packline_recommendation.training.neighbours import (
    DENSE_ITEMS,
    Neighbours,
    basket_steps,
    ease,
    itself,
    knn,
    next_item,
)

BLEND = "blend"
TRANSFORMER = "transformer"
POPULARITY = "popularity"
ITSELF = "itself"
TEXT = "text"
LINEAR = ("knn", "next_item", "ease", "als")
"""In the order in which they are trained; the last are left out where time is short."""

FAMILIES = (BLEND, TRANSFORMER, "next_item", "ease", "knn", "als", POPULARITY)

TEXT_WIDTH = 64
_TABLE_ENTRIES = 12_000_000  # of a neighbour table, 96 MB
_KNN_SHRINK = 10.0
_EASE_RIDGE = 200.0
_NEXT_RIDGE = 40.0
_NEXT_DECAY = 0.65
_PAIRS = 24_000_000  # of events that are looked at together, 1 GB at the highest
_PREFIX = (8, 200)  # events of a history that a next one is foretold by
_DENSE_WORK = 5e9  # third power of items, per second of a trial, so that their matrices take about a fifth of it
_DENSE_FEWEST = 1000
_ALS_WIDTH = 128
_ALS_ROUNDS = 12
_ALS_RIDGE = 0.1
_ALS_CONFIDENCE = 10.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """A trial's parameters.

    Attributes:
        family: One of `FAMILIES`; `blend` is all of them.
        ridge: Multiplies every family's L2 penalty.
        width: Of the transformer's vectors.
        blocks: Of the transformer.
        dropout: Of the transformer.
        learning_rate: Of the transformer.
    """

    family: str
    ridge: float
    width: int
    blocks: int
    dropout: float
    learning_rate: float

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Parameters:
        """From a trial's own."""
        return cls(
            str(raw["family"]),
            float(raw["ridge"]),
            int(raw["width"]),
            int(raw["blocks"]),
            float(raw["dropout"]),
            float(raw["learning_rate"]),
        )

    @property
    def linear(self) -> tuple[str, ...]:
        """The linear families that are trained."""
        if self.family == BLEND:
            return LINEAR
        return (self.family,) if self.family in LINEAR else ()

    @property
    def transformer(self) -> bool:
        """Whether a transformer is trained."""
        return self.family in {BLEND, TRANSFORMER}


def linear(
    name: str, log: Log, parameters: Parameters, *, seed: int, threads: int, dense: int = DENSE_ITEMS
) -> Neighbours | Factors:
    """Trains one linear family.

    Args:
        name: Of `LINEAR`, or `itself`.
        log: Events.
        parameters: The trial's.
        seed: Of all chance.
        threads: CPU threads.
        dense: Most items that enter a dense matrix.
    """
    width = int(np.clip(_TABLE_ENTRIES // max(len(log.items), 1), 32, 512))
    if name == ITSELF:
        return itself(len(log.items))
    if name == "knn":
        return knn(log, width, _KNN_SHRINK * parameters.ridge)
    if name == "ease":
        return ease(log, width, _EASE_RIDGE * parameters.ridge, dense)
    if name == "next_item":
        length = int(np.clip(_PAIRS // max(int(basket_steps(log).max(initial=1)), 1), *_PREFIX))
        return next_item(
            log,
            width,
            _NEXT_RIDGE * parameters.ridge,
            decay=_NEXT_DECAY,
            ahead=_NEXT_DECAY,
            length=length,
            dense=dense,
        )
    rank = max(1, min(_ALS_WIDTH, len(log.items) // 2, len(log.users) // 2))
    return als(
        log,
        width=rank,
        ridge=_ALS_RIDGE * parameters.ridge,
        confidence=_ALS_CONFIDENCE,
        rounds=_ALS_ROUNDS,
        seed=seed,
        threads=threads,
    )


def dense_items(seconds: float) -> int:
    """Most items that enter a dense matrix, of which the work grows with the third power, in a trial of that time."""
    return int(np.clip(np.cbrt(_DENSE_WORK * max(seconds, 0.0)), _DENSE_FEWEST, DENSE_ITEMS))


def text_factors(vectors: Floats) -> Factors:
    """Items that are described alike."""
    return Factors(vectors, np.eye(vectors.shape[1], dtype=np.float32))
