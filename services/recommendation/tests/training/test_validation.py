"""What is held out: by one moment where there is a clock, each user's last event where there is only an order."""

from __future__ import annotations

import numpy as np
from packline_recommendation.domain import Log, leave_last_out, sorted_log, split_by_time
from packline_recommendation.training.histories import histories
from packline_recommendation.training.judging import ranks, recall_ndcg
from packline_recommendation.training.validation import judged, validation

from services.recommendation.tests.training.helpers import planted


def baskets() -> Log:
    """Users who order two things at a time, once a day."""
    rows = [(user, order * 2 + place, order) for user in range(40) for order in range(6) for place in range(2)]
    user, item, day = np.array(rows).T
    return sorted_log(
        Log(
            user.astype(np.int32),
            item.astype(np.int32),
            1_700_000_000 + day * 86_400 + user,
            np.ones(len(rows), dtype=np.float32),
            [str(one) for one in range(40)],
            [str(one) for one in range(12)],
            True,
        )
    )


def test_an_order_alone_holds_out_the_last_event_of_each_user() -> None:
    log = planted()
    by = validation(log, length=10, seed=0)
    assert not by.by_time
    assert len(by.targets.items) == len(by.given) == len(log.users)
    assert len(by.known) == len(log) - len(log.users)


def test_a_clock_holds_out_all_that_is_late_and_asks_for_the_next_basket() -> None:
    log = baskets()
    by = validation(log, length=10, seed=0)
    assert by.by_time
    assert by.known.time.max() < log.time[log.time > by.known.time.max()].min()
    # The moment lies in the last day, so each user who is asked about orders the two things of that day.
    assert set(by.targets.items.tolist()) == {10, 11}
    assert (np.bincount(by.targets.rows) == 2).all()
    assert (by.given.ages[:, -1] == 86_400).all()


def test_few_users_with_large_baskets_are_enough_for_a_clock() -> None:
    """Of 300 users, 60 order 20 things each after the moment; with one thing each they would judge too little."""
    for lines, by_time in ((20, True), (2, False)):
        rows = [
            (user, (order * lines + place) % 97, order)
            for user in range(300)
            for order in range(4)
            for place in range(lines)
        ]
        rows += [(user, place, 9) for user in range(60) for place in range(lines)]
        rows += [(300 + other, place, 9 + other) for other in range(90) for place in range(lines)]
        user, item, day = np.array(rows).T
        log = sorted_log(
            Log(
                user.astype(np.int32),
                item.astype(np.int32),
                1_700_000_000 + day * 86_400,
                np.ones(len(rows), dtype=np.float32),
                [str(one) for one in range(390)],
                [str(one) for one in range(97)],
                True,
            )
        )
        assert validation(log, length=10, seed=0).by_time == by_time


def test_nobody_without_a_history_is_asked_about() -> None:
    log = planted(timed=True)
    split = split_by_time(log, 0.3)
    assert set(split.held_out.user.tolist()) <= set(split.known.user.tolist())
    assert split.known.time.max() < split.held_out.time.min()


def test_users_with_one_event_are_not_held_out() -> None:
    log = sorted_log(
        Log(
            np.array([0, 1, 1], dtype=np.int32),
            np.array([0, 0, 1], dtype=np.int32),
            np.array([0, 0, 1]),
            np.ones(3, dtype=np.float32),
            ["a", "b"],
            ["x", "y"],
            False,
        )
    )
    split = leave_last_out(log)
    assert split.held_out.user.tolist() == [1]
    assert split.known.user.tolist() == [0, 1]


def test_the_same_seed_asks_about_the_same_users() -> None:
    log = planted(users=400)
    users = np.arange(400)
    one, same = (judged(leave_last_out(log), users, length=5, seed=3).given.items for _ in range(2))
    other = judged(leave_last_out(log), users, length=5, seed=4).given.items
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_steps_count_baskets_and_decay_counts_steps() -> None:
    given = histories(baskets(), np.array([7]), 5)
    assert given.items.tolist() == [[8, 9, 10, 11, 12]]
    assert given.steps.tolist() == [[2, 1, 1, 0, 0]]
    assert np.allclose(given.decayed(0.5), [[0.25, 0.5, 0.5, 1, 1]])


def test_padding_counts_for_nothing() -> None:
    given = histories(planted(), np.array([0]), 30)
    assert (given.decayed(0.5)[given.items == 0] == 0).all()
    assert given.matrix(given.decayed(1.0), 48).sum() == (given.items > 0).sum()


def test_ranks_count_half_of_the_ties() -> None:
    scores = np.array([[3.0, 1.0, 1.0, 1.0, -np.inf]], dtype=np.float32)
    rows = np.zeros(3, dtype=np.int64)
    assert ranks(scores, rows, np.array([0, 2, 4])).tolist() == [0, 2, 5]


def test_recall_and_ndcg_are_of_the_field() -> None:
    recall, ndcg = recall_ndcg(np.array([0, 2, 50]), 10)
    assert recall == 2 / 3
    assert np.isclose(ndcg, (1 + 0.5) / 3)
