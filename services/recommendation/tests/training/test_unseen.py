"""Items that nobody had yet are shown, to those who take such things, at a price that is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from packline_recommendation.domain import Floats
from packline_recommendation.training.choosing import part_ndcg
from packline_recommendation.training.factors import text_vectors
from packline_recommendation.training.neighbours import knn
from packline_recommendation.training.parts import NewItems, Part, Recommender, new_items
from packline_recommendation.training.unseen import best_places, placed
from packline_recommendation.training.validation import Validation, validation

from services.recommendation.tests.training.helpers import GROUP, planted

GROUPS = 40


@pytest.fixture(scope="module")
def by() -> Validation:
    """The last item of each group's ring comes into the shop just before the held-out events begin."""
    log = planted(users=1500, groups=GROUPS, timed=True)
    late = log.time >= np.quantile(log.time, 0.9)
    return validation(log.where(late | (log.item % GROUP != GROUP - 1)), length=10, seed=0)


@pytest.fixture(scope="module")
def text() -> Floats:
    kinds = ["".join(chr(97 + digit) for digit in divmod(group, 7)) * 3 for group in range(GROUPS)]
    return text_vectors([f"{kinds[item // GROUP]} {item % GROUP}" for item in range(GROUPS * GROUP)], 64, 0)


def new_of(by: Validation, text: Floats) -> NewItems:
    new = new_items(text, np.bincount(by.known.item, minlength=len(by.known.items)))
    assert new
    return new


def shown(model: Recommender, by: Validation) -> np.ndarray:
    """What comes first, int64 (users, 10)."""
    return np.argpartition(-model.scores(by.given), 10, axis=1)[:, :10]


def test_new_items_find_their_takers_at_no_more_than_the_price(by: Validation, text: Floats) -> None:
    without = Recommender([Part("knn", knn(by.known, 50, 10.0), decay=0.8)], [1.0], 10)
    new = new_of(by, text)
    places = best_places(without, new, by, repeats=True)
    with_new = replace(without, new=placed(places, without, new, by.given, repeats=True))
    assert part_ndcg(with_new, by, repeats=True)[1] >= 0.98 * part_ndcg(without, by, repeats=True)[1]
    asked = np.isin(by.targets.items, new.items)
    assert asked.sum() > 10
    first = shown(with_new, by)
    found = (first[by.targets.rows[asked]] == by.targets.items[asked][:, None]).any(axis=1)
    assert found.mean() > 0.3


def test_where_texts_say_nothing_new_items_cost_no_more_than_the_price(by: Validation) -> None:
    noise = np.random.default_rng(0).standard_normal((GROUPS * GROUP, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    without = Recommender([Part("knn", knn(by.known, 50, 10.0), decay=0.8)], [1.0], 10)
    new = new_of(by, noise)
    places = best_places(without, new, by, repeats=False)
    with_new = replace(without, new=placed(places, without, new, by.given, repeats=False))
    assert part_ndcg(with_new, by, repeats=False)[1] >= 0.98 * part_ndcg(without, by, repeats=False)[1]


def test_held_out_events_that_tell_nothing_leave_new_items_a_little_behind_their_like(
    by: Validation, text: Floats
) -> None:
    blend = Recommender([Part("knn", knn(by.known, 50, 10.0))], [1.0], 10)
    untold = new_of(by, np.zeros_like(text))
    assert best_places(blend, untold, by, repeats=False) is None
    assert placed(0.5, blend, untold, by.given, repeats=False).offset.max() < -1000
    new = new_of(by, text)
    assert placed(None, blend, new, by.given, repeats=False) is new


def test_each_new_item_gets_its_part_of_the_places_on_any_scale_of_scores(by: Validation, text: Floats) -> None:
    new = new_of(by, text)
    for weight in (1.0, 5.0):
        model = Recommender([Part("knn", knn(by.known, 50, 10.0), decay=0.8)], [weight], 10)
        first = shown(replace(model, new=placed(0.5, model, new, by.given, repeats=True)), by)
        per_user = [(first == item).any(axis=1).mean() for item in new.items]
        assert sum(per_user) == pytest.approx(0.5, abs=0.15)
        assert max(per_user) < 0.1
