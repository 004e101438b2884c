"""Recall and NDCG over the whole catalogue, from the places that held-out items took."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from packline_recommendation.domain import Floats


def ranks(scores: Floats, rows: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64 (targets,): how many items score higher than each target, half of the ties counted.

    Args:
        scores: float32 (users, items); -inf where an item may not be recommended.
        rows: int64 (targets,), the user of each target.
        items: int64 (targets,), its item.
    """
    own = scores[rows, items]
    above = np.empty(len(rows), dtype=np.int64)
    for place, (row, value) in enumerate(zip(rows, own, strict=True)):
        line = scores[row]
        above[place] = (line > value).sum() + (line == value).sum() // 2
    return np.where(np.isfinite(own), above, scores.shape[1])


def recall_ndcg(places: npt.NDArray[np.int64], k: int) -> tuple[float, float]:
    """Recall@k and NDCG@k, target by target, as `packline_recommendation.metrics` counts them.

    Args:
        places: int64 (targets,), from 0, as `ranks` gives them.
        k: Length of the list that counts.
    """
    hit = places < k
    return float(hit.mean()), float(np.where(hit, 1 / np.log2(places + 2), 0).mean())
