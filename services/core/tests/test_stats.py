"""Intervals by the bootstrap over groups."""

import numpy as np
import pytest
from packline_core.stats import bootstrap_interval, paired_difference
from packline_core.task import Count, ExampleScore


def scores(values: list[float], groups: list[str] | None = None, weight: float = 1.0) -> list[ExampleScore]:
    names = groups or [str(number) for number in range(len(values))]
    return [
        ExampleScore(str(n), group, {"cer": Count(value, weight)})
        for n, (value, group) in enumerate(zip(values, names, strict=True))
    ]


def test_a_metric_is_a_ratio_of_sums() -> None:
    rows = [ExampleScore("a", "a", {"cer": Count(1, 10)}), ExampleScore("b", "b", {"cer": Count(5, 90)})]
    interval = bootstrap_interval(rows, "cer")
    assert interval.value == pytest.approx(0.06)
    assert interval.low <= interval.value <= interval.high


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        interval = bootstrap_interval(scores(list(generator.normal(5.0, 1.0, 60))), "cer")
        held += interval.low <= 5.0 <= interval.high
    assert 165 <= held <= 192


def test_groups_are_drawn_as_a_whole() -> None:
    values = list(np.random.default_rng(2).normal(size=40).repeat(10))
    apart = bootstrap_interval(scores(values), "cer")
    together = bootstrap_interval(scores(values, [str(n // 10) for n in range(400)]), "cer")
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_pairing_takes_out_what_both_share() -> None:
    generator = np.random.default_rng(3)
    hard = generator.normal(10, 5, 50)
    first, second = scores(list(hard)), scores(list(hard - 0.5 + generator.normal(0, 0.1, 50)))
    paired = paired_difference(first, second, "cer")
    assert paired.difference.value == pytest.approx(paired.second - paired.first)
    assert -0.6 < paired.difference.low < -0.5 < paired.difference.high < -0.4


def test_equal_models_do_not_differ() -> None:
    rows = scores([1.0, 2.0, 3.0])
    assert paired_difference(rows, rows, "cer").difference == (0.0, 0.0, 0.0)


def test_other_examples_are_no_pair() -> None:
    with pytest.raises(ValueError, match="same examples"):
        paired_difference(scores([1.0, 2.0]), scores([1.0]), "cer")
