"""Each family finds what was planted, and popularity, which cannot, is behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from packline_recommendation.domain import Log
from packline_recommendation.training.choosing import part_ndcg
from packline_recommendation.training.factors import text_vectors
from packline_recommendation.training.families import LINEAR, Parameters, linear, text_factors
from packline_recommendation.training.learning import Learner, Share
from packline_recommendation.training.parts import Constant, Part
from packline_recommendation.training.popularity import popularity
from packline_recommendation.training.validation import validation

from services.recommendation.tests.training.helpers import GROUP, World, planted

PARAMETERS = Parameters("blend", 1.0, 16, 1, 0.0, 5e-3)


def popularity_ndcg(log: Log) -> float:
    by = validation(log, length=10, seed=0)
    return part_ndcg(Part("popularity", Constant(popularity(by.known, 0.0))), by, repeats=False)[1]


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_family_finds_groups(name: str) -> None:
    log = planted()
    by = validation(log, length=10, seed=0)
    part = Part(name, linear(name, by.known, PARAMETERS, seed=0, threads=1), decay=0.7)
    assert part_ndcg(part, by, repeats=False)[1] > 1.5 * popularity_ndcg(log)


def test_next_item_tells_what_follows_from_what_goes_along() -> None:
    """In a ring, co-occurrence is symmetric, and only what looks at order knows the next item."""
    log = planted(users=300)
    by = validation(log, length=10, seed=0)
    ordered, unordered = (
        part_ndcg(Part(name, linear(name, by.known, PARAMETERS, seed=0, threads=1), decay=0.5), by, repeats=False)[1]
        for name in ("next_item", "ease")
    )
    assert ordered > unordered


def test_the_transformer_learns_what_follows(tmp_path: Path) -> None:
    log = planted()
    by = validation(log, length=10, seed=0)
    world = World(tmp_path)
    learner = Learner(PARAMETERS, np.zeros((len(log.items), 4), dtype=np.float32), 0, world)
    torch.set_num_threads(1)
    network, learned = learner.choose(
        by.known,
        lambda one: part_ndcg(Part("transformer", one), by, repeats=False)[1],
        Share(world, tmp_path / "share.json", 0.5, 0),
        (0, 50),
    )
    assert part_ndcg(Part("transformer", network), by, repeats=False)[1] > 2 * popularity_ndcg(log)
    assert 0 < learned.epochs <= learned.planned


def test_texts_find_what_is_described_alike() -> None:
    log = planted()
    words = ["bolt", "나사못", "washer", "hinge", "사포지", "gasket", "pulley", "베어링"]
    texts = [f"{words[item // GROUP]} size {item % GROUP}" for item in range(len(log.items))]
    by = validation(log, length=10, seed=0)
    part = Part("text", text_factors(text_vectors(texts, 8, 0)))
    assert part_ndcg(part, by, repeats=False)[1] > 1.5 * popularity_ndcg(log)


def test_texts_without_words_are_zeros() -> None:
    assert not text_vectors(["", "", ""], 8, 0).any()


def test_recent_events_make_an_item_popular() -> None:
    times = np.array([0, 0, 0, 1000], dtype=np.int64) + 1_700_000_000
    items = np.array([0, 0, 0, 1], dtype=np.int32)
    log = Log(np.arange(4, dtype=np.int32), items, times, np.ones(4, dtype=np.float32), list("abcd"), ["x", "y"], True)
    assert popularity(log, 0.0).argmax() == 0
    assert popularity(log, 10.0).argmax() == 1
