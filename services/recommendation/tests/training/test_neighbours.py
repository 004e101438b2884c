"""Neighbour tables: what their rows are made of, and what a cut leaves."""

from __future__ import annotations

import numpy as np
import pytest
from packline_recommendation.domain import Log
from packline_recommendation.training import neighbours
from packline_recommendation.training.families import dense_items
from packline_recommendation.training.histories import histories
from packline_recommendation.training.neighbours import DENSE_ITEMS, ease, knn, next_item, prefixes

from services.recommendation.tests.training.helpers import planted


def test_a_basket_is_one_point_and_one_step() -> None:
    """One user: items 0 and 1 together, then 2, then 3 and 4 together."""
    times = np.array([10, 10, 20, 30, 30])
    ones = np.ones(5, dtype=np.float32)
    items = np.arange(5, dtype=np.int32)
    log = Log(np.zeros(5, dtype=np.int32), items, times, ones, ["u"], list("abcde"), False)
    past, future = (matrix.toarray() for matrix in prefixes(log, decay=0.5, ahead=0.1, length=5))
    assert np.allclose(past[[1, 2, 4]], [[1, 1, 0, 0, 0], [0.5, 0.5, 1, 0, 0], [0.25, 0.25, 0.5, 1, 1]])
    assert np.allclose(future[[1, 2, 4]], [[0, 0, 1, 0.1, 0.1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    assert not past[[0, 3]].any() and not future[[0, 3]].any()


def test_ease_is_the_closed_form() -> None:
    log = planted(users=60, groups=2)
    matrix = np.zeros((60, 12))
    matrix[log.user, log.item] = 1
    inverse = np.linalg.inv(matrix.T @ matrix + 30 * np.eye(12))
    wanted = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(wanted, 0)
    assert np.allclose(ease(log, 12, 30).matrix.toarray(), wanted, atol=1e-5)


def test_next_item_is_the_same_by_sparse_and_by_dense_products(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for share in (0.0, 1.1):
        monkeypatch.setattr(neighbours, "_SPARSE", share)
        tables.append(next_item(planted(), 48, 5.0, decay=0.6, ahead=0.6, length=8).matrix.toarray())
    assert tables[0].any()
    assert np.allclose(*tables, atol=1e-5)


def test_a_short_trial_makes_small_matrices_of_the_most_frequent_items() -> None:
    assert dense_items(3600) == DENSE_ITEMS > dense_items(120) > dense_items(30)
    log = planted()
    frequent = np.sort(np.argsort(-np.bincount(log.item), kind="stable")[:10])
    table = ease(log, 48, 5.0, 10).matrix.toarray()
    assert np.isin(np.flatnonzero(table.any(axis=1)), frequent).all()
    assert np.isin(np.flatnonzero(table.any(axis=0)), frequent).all()


def test_a_cut_table_keeps_the_strongest() -> None:
    log = planted()
    whole, cut = knn(log, 48, 5).matrix.toarray(), knn(log, 3, 5).matrix.toarray()
    assert ((cut == 0) | np.isclose(cut, whole)).all()
    assert np.allclose(np.sort(cut, axis=1)[:, -3:], np.sort(whole, axis=1)[:, -3:])


def test_scores_are_sums_over_the_history() -> None:
    log = planted()
    given = histories(log, np.arange(5), 8)
    table = knn(log, 48, 5)
    shares = given.decayed(0.5)
    wanted = given.matrix(shares, 48).toarray() @ table.matrix.toarray()
    assert np.allclose(table.scores(given, shares), wanted, atol=1e-5)
