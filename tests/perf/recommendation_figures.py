"""Recall@10 and NDCG@10 of recommenders, with intervals over users, and what one is ahead of another by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from packline_core.stats import bootstrap_interval, paired_difference
from packline_core.task import Count, ExampleScore
from packline_recommendation.domain import NDCG, RECALL, K


@dataclass(frozen=True)
class Figures:
    """Value and 90 % interval of each."""

    recall: tuple[float, float, float]
    ndcg: tuple[float, float, float]


@dataclass(frozen=True)
class Places:
    """Where what is asked for was found, int64 (targets,) each: among all, and with what its user had left out."""

    all: np.ndarray
    new: np.ndarray


def figures(places: np.ndarray, rows: np.ndarray) -> Figures:
    """Over the users that something is asked of."""
    scores = scores_of(places, rows)
    return Figures(bootstrap_interval(scores, RECALL), bootstrap_interval(scores, NDCG))


def lead_of(ours: Places, peer: Places, rows: np.ndarray) -> Figures:
    """What we are ahead by, over users, each with the same for both."""
    both = scores_of(ours.all, rows), scores_of(peer.all, rows)
    recall, ndcg = (paired_difference(both[1], both[0], metric).difference for metric in (RECALL, NDCG))
    return Figures(recall, ndcg)


def scores_of(places: np.ndarray, rows: np.ndarray) -> list[ExampleScore]:
    """Each user's."""
    recall, ndcg = by_user(places, np.unique(rows, return_inverse=True)[1])
    return [
        ExampleScore(str(row), str(row), {RECALL: Count(float(one), 1), NDCG: Count(float(other), 1)})
        for row, (one, other) in enumerate(zip(recall, ndcg, strict=True))
    ]


def by_line(places: np.ndarray, rows: np.ndarray) -> Figures:
    """Every line of a basket is a prediction of its own; intervals are over users all the same."""
    hit = places < K
    counts = np.bincount(rows)
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0))
    scores = [
        ExampleScore(str(row), str(row), {RECALL: Count(hits, int(of)), NDCG: Count(gain, int(of))})
        for row, (hits, gain, of) in enumerate(zip(np.bincount(rows, hit), gains, counts, strict=True))
    ]
    return Figures(bootstrap_interval(scores, RECALL), bootstrap_interval(scores, NDCG))


def by_user(places: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall@10 and NDCG@10 of each user; the ideal of NDCG puts as many of what is asked for first as fit."""
    hit = places < K
    counts = np.bincount(rows)
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0))
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(K) + 2)).cumsum()])
    return np.bincount(rows, hit) / counts, gains / ideal[np.minimum(counts, K)]
