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


def recall_ndcg(
    places: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], users: int, k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recall@k and NDCG@k of each user, float64 (users,) each.

    Recall is hits over the number of targets; the ideal of NDCG puts as many targets first as fit in k.

    Args:
        places: int64 (targets,), from 0, as `ranks` gives them.
        rows: int64 (targets,), the user of each.
        users: How many there are; each has a target.
        k: Length of the list that counts.
    """
    hit = places < k
    counts = np.maximum(np.bincount(rows, minlength=users), 1)
    recall = np.bincount(rows, hit, minlength=users) / counts
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0), minlength=users)
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(k) + 2)).cumsum()])
    return recall, gains / ideal[np.minimum(counts, k)]
