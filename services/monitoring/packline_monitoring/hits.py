"""How versions fare by what users did: hit rates, and off-policy estimates for answers that nobody saw.

Intervals are of the bootstrap over users, since what one user does is not independent: the Poisson bootstrap (Chamandy,
Muralidharan, Najmi and Naidu, Estimating Uncertainty for Massive Data Streams, 2012), in which every user's weight is
drawn from Poisson(1). An answer of which nothing was told counts as a user of its own.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from packline_core.proportions import CONFIDENCE_Z, wilson
from packline_core.stats import Interval, bounds

from packline_monitoring.domain import Outcome

_RESAMPLES = 2000
_BUCKETS = 1000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HitRate:
    """Answers, those that users told anything about, those they took something of, and the share of these in all."""

    answers: int
    told: int
    hits: int
    rate: Interval


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """Calls with a truth that a version read in shadow; what the answers shown and its own are worth by it."""

    calls: int
    shown: float
    own: float
    difference: Interval


def hit_rates(outcomes: Sequence[Outcome], answers: Mapping[str, int]) -> dict[str, HitRate]:
    """Each version's hit rate.

    Args:
        outcomes: Of all versions.
        answers: Version -> answers that callers got.
    """
    users: dict[str, dict[str, list[int]]] = {version: {} for version in answers}
    for outcome in outcomes:
        user = users.setdefault(outcome.version, {}).setdefault(outcome.group, [0, 0])
        user[0] += outcome.hit
        user[1] += 1
    found: dict[str, HitRate] = {}
    for version, sums in sorted(users.items()):
        hits, told = (sum(user[place] for user in sums.values()) for place in (0, 1))
        # Answers of before this was counted have a truth and no count.
        count = max(answers.get(version, 0), told)
        if count:
            alike = Counter((user[0], user[1]) for user in sums.values())
            alike[0, 1] += count - told
            found[version] = HitRate(count, told, hits, _rate(alike, hits, count))
    return found


def off_policy(outcomes: Sequence[Outcome]) -> dict[str, OffPolicy]:
    """What each version's answers in shadow would have been worth, against those that were shown."""
    found: dict[str, OffPolicy] = {}
    for version in sorted({outcome.shadow for outcome in outcomes} - {""}):
        mine = [
            outcome
            for outcome in outcomes
            if outcome.shadow == version and outcome.shown.weight > 0 and outcome.other.weight > 0
        ]
        if not mine:
            continue
        buckets = _buckets(mine)
        weights = _weights(buckets)
        sums = np.zeros((weights.shape[1], 4))
        for one in mine:
            sums[buckets[one.group]] += (one.shown.value, one.shown.weight, one.other.value, one.other.weight)
        shown, own = _ratios(sums.sum(axis=0, keepdims=True))
        first, second = _ratios(weights @ sums)
        low, high = bounds(second - first)
        difference = float(own[0] - shown[0])
        found[version] = OffPolicy(len(mine), float(shown[0]), float(own[0]), Interval(difference, low, high))
    return found


def _rate(alike: Mapping[tuple[int, int], int], hits: int, count: int) -> Interval:
    """Of users by their (hits, answers); never narrower than Wilson's interval of as many independent answers, since
    resampling none or all of a few says nothing.
    """
    # The weights of n users who are alike add up to a draw from Poisson(n).
    pairs = np.array(list(alike), dtype=np.float64)
    weights = np.random.default_rng(0).poisson(list(alike.values()), (_RESAMPLES, len(alike)))
    sums = weights @ pairs
    low, high = bounds(sums[:, 0] / np.maximum(sums[:, 1], 1.0))
    rate = hits / count
    least, most = wilson(rate, count, CONFIDENCE_Z)
    return Interval(rate, min(low, least), max(high, most))


def _buckets(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Users by number; very many are pooled, which widens no interval of a ratio, since residuals add up to nothing."""
    groups = sorted({outcome.group for outcome in outcomes})
    if len(groups) <= _BUCKETS:
        return {group: index for index, group in enumerate(groups)}
    return {group: zlib.crc32(group.encode()) % _BUCKETS for group in groups}


def _weights(buckets: Mapping[str, int]) -> Floats:
    """How often each bucket is drawn in each resample, float64 (resamples, buckets); the same in every call."""
    count = max(buckets.values(), default=0) + 1
    return np.random.default_rng(0).poisson(1.0, (_RESAMPLES, count)).astype(np.float64)


def _ratios(sums: Floats) -> tuple[Floats, Floats]:
    """Values over weights of two models, each float64 (rows,); of (rows, 4)."""
    shown, other = (np.divide(v, w, out=np.zeros_like(v), where=w > 0) for v, w in ((sums.T[0], sums.T[1]), sums.T[2:]))
    return shown, other
