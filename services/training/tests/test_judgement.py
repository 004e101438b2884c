"""The gate's rules on scores that are known."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from packline_core.task import Count, ExampleScore, Metric
from packline_training.domain import GateOutcome
from packline_training.judgement import Comparison, GateRules, Scored, judge

CER = Metric("cer", "min", "")
NDCG = Metric("ndcg", "max", "")
COMPARISON = Comparison("v1", "v2", "sha256:g", datetime(2026, 1, 1, tzinfo=UTC))
NONE = Scored((), ())


def rules(metric: Metric = CER, **changes: Any) -> GateRules:
    return GateRules(
        **{
            "metric": metric,
            "tolerance": 0.01,
            "min_improvement": 0.005,
            "min_golden": 30,
            "on_small_golden": "shadow",
            **changes,
        }
    )


def scored(count: int, active: float, candidate: float, metric: str = "cer", noise: float = 0.0) -> Scored:
    generator = np.random.default_rng(0)

    def rows(value: float) -> list[ExampleScore]:
        values = np.clip(value + generator.normal(0, noise, count), 0, 1)
        return [ExampleScore(f"{active}{n}", f"g{n}", {metric: Count(float(v), 1.0)}) for n, v in enumerate(values)]

    return Scored(rows(active), rows(candidate))


def test_better_on_new_and_not_worse_on_old_passes() -> None:
    verdict = judge(rules(), COMPARISON, scored(50, 0.1, 0.1), scored(20, 0.5, 0.3))
    assert verdict.passed and verdict.result.outcome is GateOutcome.PASSED
    assert verdict.result.reason == "v2 passed: cer 50.00% -> 30.00% on 20 examples"
    assert verdict.result.old is not None and verdict.result.old.examples == 50
    assert verdict.result.active_version == "v1" and verdict.result.golden_digest == "sha256:g"


def test_forgetting_fails_however_good_it_is_on_new() -> None:
    verdict = judge(rules(), COMPARISON, scored(50, 0.1, 0.15), scored(20, 0.5, 0.0))
    assert not verdict.passed and "may be worse than v1's by 5.00%, where 0.10% is allowed" in verdict.result.reason


def test_no_gain_on_new_fails() -> None:
    verdict = judge(rules(), COMPARISON, scored(50, 0.1, 0.05), scored(20, 0.5, 0.499))
    assert not verdict.passed and "better by 0.10%, where a gain of 0.25% is asked for" in verdict.result.reason


def test_without_new_examples_the_gain_is_asked_of_all() -> None:
    assert judge(rules(), COMPARISON, scored(50, 0.1, 0.09), NONE).passed
    assert not judge(rules(), COMPARISON, scored(50, 0.1, 0.1), NONE).passed


def test_without_old_examples_chance_alone_is_not_enough() -> None:
    better = scored(40, 0.3, 0.28, noise=0.2)
    verdict = judge(rules(), COMPARISON, NONE, better)
    assert verdict.result.new is not None and verdict.result.new.high > 0
    assert not verdict.passed
    assert judge(rules(), COMPARISON, NONE, scored(40, 0.3, 0.2, noise=0.05)).passed


@pytest.mark.parametrize(("candidate", "passes"), [(0.95, True), (0.899, False), (0.5, False)])
def test_where_more_is_better_the_error_is_what_is_missing(candidate: float, passes: bool) -> None:
    verdict = judge(rules(NDCG), COMPARISON, scored(40, 0.9, candidate, "ndcg"), NONE)
    assert verdict.passed is passes


def test_equal_and_perfect_is_no_gain() -> None:
    assert not judge(rules(min_improvement=0.0), COMPARISON, scored(40, 0.0, 0.0), NONE).passed


@pytest.mark.parametrize(
    ("wish", "outcome", "passes"),
    [("shadow", GateOutcome.TOO_FEW, True), ("reject", GateOutcome.TOO_FEW, False), ("pass", GateOutcome.PASSED, True)],
)
def test_too_few_golden_examples(wish: str, outcome: GateOutcome, passes: bool) -> None:
    verdict = judge(rules(on_small_golden=wish), COMPARISON, scored(3, 0.4, 0.1), NONE)
    assert (verdict.result.outcome, verdict.passed) == (outcome, passes)
    if wish == "pass":
        assert not judge(rules(on_small_golden=wish), COMPARISON, scored(3, 0.1, 0.4), NONE).passed, (
            "judged all the same"
        )
        assert judge(rules(on_small_golden=wish), COMPARISON, NONE, NONE).passed
    else:
        assert "3 golden examples, 30 are asked for" in verdict.result.reason
