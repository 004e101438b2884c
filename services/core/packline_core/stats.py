"""Intervals for ratio metrics by the bootstrap over groups.

A metric over a set is sum of values / sum of weights (`task.Count`), so what is resampled are whole groups (documents,
queries, users) with replacement: examples of one group are not independent. The intervals are percentile intervals
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from packline_core.proportions import CONFIDENCE
from packline_core.task import ExampleScore

RESAMPLES = 4000
_CELLS = 4_000_000

Floats = npt.NDArray[np.float64]


class Interval(NamedTuple):
    """A figure with the bounds of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models on the same examples: the metric of each, and second minus first with its interval."""

    first: float
    second: float
    difference: Interval


def bootstrap_interval(
    scores: Sequence[ExampleScore], metric: str, *, confidence: float = CONFIDENCE, seed: int = 0
) -> Interval:
    """A metric over scores, with its interval.

    Args:
        scores: One or more; each has `metric` among its counts.
        metric: The metric's name.
        confidence: Share of resamples within the bounds.
        seed: Of the resampling.
    """
    sums = _group_sums(scores, metric)
    (values,) = _resampled([sums], seed)
    return Interval(_ratio(sums), *bounds(values, confidence))


def paired_difference(
    first: Sequence[ExampleScore],
    second: Sequence[ExampleScore],
    metric: str,
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Paired:
    """Compares two models that scored the same examples: each resample draws the same groups for both.

    Raises:
        ValueError: The scores are not of the same examples in the same order.
    """
    if [score.key for score in first] != [score.key for score in second]:
        raise ValueError("paired scores must be of the same examples in the same order")
    sums = [_group_sums(first, metric), _group_sums(second, metric)]
    one, other = _resampled(sums, seed)
    difference = Interval(_ratio(sums[1]) - _ratio(sums[0]), *bounds(other - one, confidence))
    return Paired(_ratio(sums[0]), _ratio(sums[1]), difference)


def bounds(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The percentile interval of what resamples came to, float64 (resamples,)."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _group_sums(scores: Sequence[ExampleScore], metric: str) -> Floats:
    """Sums of value and weight of each group, float64 (groups, 2)."""
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(score.group, len(numbers)) for score in scores]
    counts = [(score.counts[metric].value, score.counts[metric].weight) for score in scores]
    sums = np.zeros((len(numbers), 2))
    np.add.at(sums, rows, np.array(counts, dtype=np.float64).reshape(-1, 2))
    return sums


def _ratio(sums: Floats) -> float:
    value, weight = sums.sum(axis=0)
    return float(value / weight) if weight else 0.0


def _resampled(models: Sequence[Floats], seed: int) -> list[Floats]:
    """The metric of each model in every resample, each float64 (RESAMPLES,)."""
    groups = len(models[0])
    generator = np.random.default_rng(seed)
    found: list[list[Floats]] = [[] for _ in models]
    left = RESAMPLES
    while left:
        count = min(left, max(1, _CELLS // groups))
        draws = generator.multinomial(groups, np.full(groups, 1 / groups), size=count)
        for values, sums in zip(found, models, strict=True):
            totals = draws @ sums
            weights = np.where(totals[:, 1] > 0, totals[:, 1], 1.0)
            values.append(totals[:, 0] / weights)
        left -= count
    return [np.concatenate(values) for values in found]
