"""Items that nobody had yet are shown, to those who take such things, at a price that is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from packline_recommendation.domain import Floats
from packline_recommendation.training.choosing import part_ndcg
from packline_recommendation.training.factors import text_vectors
from packline_recommendation.training.neighbours import knn
from packline_recommendation.training.parts import Part, Recommender, new_items
from packline_recommendation.training.unseen import DEFAULT, best_exposure, placed
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


def events(by: Validation) -> np.ndarray:
    return np.bincount(by.known.item, minlength=len(by.known.items))


def test_new_items_find_their_takers_at_no_more_than_the_price(by: Validation, text: Floats) -> None:
    parts = [Part("knn", knn(by.known, 50, 10.0), decay=0.8)]
    without = Recommender(parts, [1.0], 10)
    exposure = best_exposure(without, text, by, repeats=True)
    placing = placed(exposure, without, text, events(by), by.given, repeats=True)
    with_new = Recommender(parts, [1.0], 10, new_items(text, events(by), placing))
    assert part_ndcg(with_new, by, repeats=True)[1] >= 0.98 * part_ndcg(without, by, repeats=True)[1]
    new = events(by)[by.targets.items] == 0
    assert new.sum() > 10
    scores = with_new.scores(by.given)
    shown = np.argpartition(-scores, 10, axis=1)[:, :10]
    found = (shown[by.targets.rows[new]] == by.targets.items[new][:, None]).any(axis=1)
    assert found.mean() > 0.3


def test_where_texts_say_nothing_new_items_cost_no_more_than_the_price(by: Validation) -> None:
    noise = np.random.default_rng(0).standard_normal((GROUPS * GROUP, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    parts = [Part("knn", knn(by.known, 50, 10.0), decay=0.8)]
    without = Recommender(parts, [1.0], 10)
    exposure = best_exposure(without, noise, by, repeats=False)
    placing = placed(exposure, without, noise, events(by), by.given, repeats=False)
    with_new = Recommender(parts, [1.0], 10, new_items(noise, events(by), placing))
    assert part_ndcg(with_new, by, repeats=False)[1] >= 0.98 * part_ndcg(without, by, repeats=False)[1]


def test_held_out_events_that_tell_nothing_leave_the_default(by: Validation, text: Floats) -> None:
    blend = Recommender([Part("knn", knn(by.known, 50, 10.0))], [1.0], 10)
    nothing = np.zeros_like(text)
    assert best_exposure(blend, nothing, by, repeats=False) is None
    assert placed(None, blend, nothing, events(by), by.given, repeats=False) == DEFAULT
    all_known = validation(planted(timed=True, users=260), length=10, seed=0)
    kept = Recommender([Part("knn", knn(all_known.known, 50, 10.0))], [1.0], 10)
    assert best_exposure(kept, text[: len(all_known.known.items)], all_known, repeats=False) is None


def test_users_of_a_model_on_another_scale_see_as_much_of_new_items(by: Validation, text: Floats) -> None:
    parts = [Part("knn", knn(by.known, 50, 10.0), decay=0.8)]
    found = best_exposure(Recommender(parts, [1.0], 10), text, by, repeats=True)
    assert found
    shown = []
    for weight in (1.0, 5.0):
        model = Recommender(parts, [weight], 10)
        placing = placed(found, model, text, events(by), by.given, repeats=True)
        scores = replace(model, new=new_items(text, events(by), placing)).scores(by.given)
        first = np.argpartition(-scores, 10, axis=1)[:, :10]
        shown.append((events(by)[first] == 0).any(axis=1).mean())
    assert shown[0] == pytest.approx(shown[1], abs=0.02) and shown[0] == pytest.approx(found.share, abs=0.1)
