"""Items that nobody had yet: how far below their like they are put, so that they are seen and seldom in the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from packline_recommendation.domain import Floats, K
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.judging import ranks, recall_ndcg
from packline_recommendation.training.parts import Recommender, new_items
from packline_recommendation.training.validation import Validation

DEFAULT_OFFSET = -1.0
"""Taken where held-out events tell nothing of new items; in standard deviations of a user's scores."""

_OFFSETS = (1.0, 0.5, 0.0, -0.5, -1.0, -2.0, -4.0)  # highest first
_PRICE = 0.01  # of NDCG, relative, that new items being seen may cost
_CELLS = 20_000_000


def best_offset(blend: Recommender, text: Floats, by: Validation, *, repeats: bool) -> float:
    """The highest offset that costs all items together no more than a hundredth of NDCG@10.

    Args:
        blend: Without new items.
        text: float32 (items, width), vectors of texts.
        by: Held-out events, some of them of items that `by.known` has no events of.
        repeats: Whether items of the history may come back.
    """
    events = np.bincount(by.known.item, minlength=len(by.known.items))
    new = new_items(text, events, 0.0)
    if new is None or not (events[by.targets.items] == 0).any():
        return DEFAULT_OFFSET
    places: dict[float, list[np.ndarray]] = {offset: [] for offset in _OFFSETS}
    step = max(1, _CELLS // len(events))
    for begin in range(0, len(by.given), step):
        given, asked = by.given.of(slice(begin, begin + step)), by.targets.between(begin, begin + step)
        scores = blend.scores(given)
        for offset, found in places.items():
            filled = replace(new, offset=np.full(len(new.items), offset, dtype=np.float32)).fill(scores)
            if not repeats:
                filled = without_history(filled, given)
            found.append(ranks(filled, asked.rows, asked.items))
    quality = {offset: recall_ndcg(np.concatenate(found), K)[1] for offset, found in places.items()}
    enough = max(quality.values()) * (1 - _PRICE)
    return max(offset for offset, value in quality.items() if value >= enough)
