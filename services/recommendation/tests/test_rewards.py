"""Truths as rewards: what is a hit, and what an answer that nobody saw is worth by it."""

from __future__ import annotations

import json
import random

import pytest
from packline_core.errors import InvalidInput
from packline_core.manifest import parse_pack
from packline_core.task import Count, Rewarding
from packline_recommendation.examples import Query, query_payload
from packline_recommendation.rewards import off_policy, taken
from packline_recommendation.task import RecommendationTask

TASK = RecommendationTask()


def told(*events: tuple[str, str]) -> str:
    return json.dumps([[item, kind, 1.0, 300] for item, kind in events])


def answer(*items: str) -> str:
    return json.dumps({"basis": "user", "results": [{"item": item, "score": 1.0} for item in items]})


@pytest.mark.parametrize(
    ("kind", "hit"),
    [
        ("click", True), ("order", True), ("purchase", True), ("cart", True), ("like", True), ("rating", True),
        ("view", False), ("impression", False), ("hide", False), ("Dismiss", False), ("dislike", False),
        ("return", False), ("refund", False),
    ],
)  # fmt: skip
def test_what_is_a_hit(kind: str, hit: bool) -> None:
    assert isinstance(TASK, Rewarding)
    assert TASK.is_hit(answer("a", "b"), [told(("b", kind))]) is hit
    assert TASK.is_hit(answer("a", "b"), [told(("c", kind))]) is False


def test_all_that_was_told_of_an_answer_counts() -> None:
    truths = [told(("b", "click")), told(("a", "dismiss"))]
    assert TASK.is_hit(answer("a", "b"), truths)
    assert taken(truths) == {"b"}


def test_what_was_given_back_is_no_wish_and_no_refusal() -> None:
    payload = query_payload(Query("anna", ()))
    with pytest.raises(InvalidInput, match="given back"):
        TASK.example(payload, 1, told(("a", "refund")), "correction")
    example = TASK.example(payload, 1, told(("a", "return"), ("b", "order")), "correction")
    assert [row[0] for row in json.loads(example.truth)] == ["b"]


def value(count: Count) -> float:
    return count.value / count.weight


def test_an_answer_is_worth_as_much_as_itself() -> None:
    shown, other = TASK.off_policy(answer("a", "b"), answer("a", "b"), [told(("b", "click"))])
    assert shown == other


def test_earlier_is_better_and_later_is_worse() -> None:
    shown, earlier = off_policy(list("abcd"), list("cabd"), frozenset("c"))
    assert value(earlier) > value(shown)
    shown, later = off_policy(list("abcd"), list("bcda"), frozenset("a"))
    assert value(later) < value(shown)


def test_lists_with_nothing_in_common_tell_nothing() -> None:
    assert off_policy(["a"], ["b"], frozenset("a"))[1] == Count(0, 0)


def test_it_finds_what_the_other_order_would_have_got() -> None:
    # Users look at rank r with 1 / log2(r + 2) and take what they look at by its worth.
    generator = random.Random(3)
    worth = {"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.8}
    looks = [1.0, 0.6309, 0.5, 0.4307]

    def take(items: str) -> frozenset[str]:
        return frozenset(
            item
            for item, look in zip(items, looks, strict=True)
            if generator.random() < look and generator.random() < worth[item]
        )

    sums = [0.0, 0.0, 0.0, 0.0]
    for _ in range(20_000):
        shown, other = off_policy("abcd", "dbca", take("abcd"))
        sums = [x + y for x, y in zip(sums, (shown.value, shown.weight, other.value, other.weight), strict=True)]
    live = sum(len(take("dbca")) for _ in range(20_000)) / 20_000 / sum(looks)
    assert sums[2] / sums[3] == pytest.approx(live, rel=0.03)
    assert sums[0] / sums[1] < 0.8 * live


def test_a_better_list_may_have_little_in_common_with_the_one_before() -> None:
    def least(**rollout: str) -> str | None:
        spec = {"task": "recommendation", "rollout": rollout}
        manifest = {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "shop"}, "spec": spec}
        return parse_pack(manifest).spec.rules.min_agreement

    assert least() == "0%"
    assert least(minAgreement="30%") == "30%"
