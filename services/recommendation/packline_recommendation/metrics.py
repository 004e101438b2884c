"""Recall and NDCG at 10 over the whole catalogue: how good an answer was, event by event.

Every event of a truth is judged by itself, as if it alone were wanted, so that an order of twenty lines counts as
twenty predictions and a truth of one event gives the field's leave-one-out figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from packline_core.task import Count, Metric

from packline_recommendation.domain import NDCG, RECALL, K

METRICS = (
    Metric(NDCG, "max", f"Normalised discounted gain of the item that was taken, among the first {K}"),
    Metric(RECALL, "max", f"Share of the items taken that were among the first {K}"),
)


def score_items(recommended: Sequence[str], taken: Sequence[str]) -> Mapping[str, Count]:
    """Scores one answer.

    Args:
        recommended: Item ids, best first.
        taken: Item ids of the truth.
    """
    ranks = {item: rank for rank, item in enumerate(recommended[:K])}
    wanted = list(dict.fromkeys(taken))
    hits = [ranks[item] for item in wanted if item in ranks]
    gain = sum(1 / math.log2(rank + 2) for rank in hits)
    return {NDCG: Count(gain, len(wanted)), RECALL: Count(float(len(hits)), len(wanted))}


def agreement(first: Sequence[str], second: Sequence[str]) -> float:
    """Share of items that two answers have in common, early ones counting more (rank-biased overlap, p = 0.9; Webber,
    Moffat and Zobel 2010), brought to 1 for equal answers.
    """
    depth = max(len(first), len(second))
    if not depth:
        return 1.0
    total = weights = 0.0
    seen: tuple[set[str], set[str]] = (set(), set())
    for place in range(depth):
        for items, known in zip((first, second), seen, strict=True):
            if place < len(items):
                known.add(items[place])
        weight = 0.9**place
        total += weight * len(seen[0] & seen[1]) / max(len(seen[0] | seen[1]), 1)
        weights += weight
    return total / weights
