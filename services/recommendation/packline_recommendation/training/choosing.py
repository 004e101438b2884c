"""What is chosen for each part by held-out events: how fast a history fades, and how recent popularity must be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from packline_recommendation.domain import K, Log
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import ranks, recall_ndcg
from packline_recommendation.training.parts import Constant, Part, Recommender
from packline_recommendation.training.popularity import RECENCIES, popularity
from packline_recommendation.training.validation import Validation

DECAYS = (0.5, 0.65, 0.8, 0.9, 1.0)
_HALF_LIVES = (0.25, 0.05)  # of a log's span
_JUDGES = (200, 1500)
_SCORES = 60_000_000  # that one look at held-out events may take
_CELLS = 30_000_000  # of them in memory at once


def few(by: Validation) -> Validation:
    """As many histories as one look takes, of those that looks are taken at again and again."""
    return by.some(int(np.clip(_SCORES // max(len(by.known.items), 1), *_JUDGES)))


def part_ndcg(part: Part | Recommender, by: Validation, *, repeats: bool) -> tuple[float, float]:
    """Recall@10 and NDCG@10 of one part, or of a whole model, over the whole catalogue."""
    begin, found = 0, []
    while begin < len(by.given):
        end = min(len(by.given), begin + max(1, _CELLS // len(by.known.items)))
        given, asked = by.given.of(slice(begin, end)), by.targets.between(begin, end)
        scores = part.scores(given)
        if not repeats:
            scores = without_history(scores, given)
        found.append(ranks(scores, asked.rows, asked.items))
        begin = end
    return recall_ndcg(np.concatenate(found), K)


def without_history(scores: np.ndarray, given: Histories) -> np.ndarray:
    """Scores with -inf for what is in the history."""
    kept = np.array(scores)
    rows, columns = np.nonzero(given.items)
    kept[rows, given.items[rows, columns] - 1] = -np.inf
    return kept


def best_popularity(by: Validation, *, repeats: bool) -> float:
    """The best of `RECENCIES`."""
    some = few(by)
    if not by.known.timed:
        return RECENCIES[0]
    made = [(Part("popularity", Constant(popularity(by.known, value))), value) for value in RECENCIES]
    return max((part_ndcg(part, some, repeats=repeats)[1], -value) for part, value in made)[1] * -1


def best_decay(part: Part, by: Validation, *, repeats: bool) -> Part:
    """The part with the decay by step, and then by age, that is best."""
    some = few(by)

    def best(of: Iterator[Part]) -> Part:
        judged = [(part_ndcg(part, some, repeats=repeats)[1], -place, part) for place, part in enumerate(of)]
        return max(judged, key=lambda entry: entry[:2])[2]

    chosen = best(replace(part, decay=decay) for decay in DECAYS)
    return best(replace(chosen, rate=rate) for rate in _rates(by.known))


def _rates(log: Log) -> Sequence[float]:
    if not log.timed or not len(log):
        return (0.0,)
    span = float(log.time.max() - log.time.min()) or 1.0
    return (0.0, *(float(np.log(2)) / (share * span) for share in _HALF_LIVES))
