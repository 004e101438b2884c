"""Answers of a real graph: who is known by what, filters before the cut, and everything that may be asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime
from packline_core.task import Example
from packline_recommendation.asking import Answer, Ask, Basis, Condition
from packline_recommendation.engine import RecommendationPredictor
from packline_recommendation.events import Raw
from packline_recommendation.examples import Event, Query, query_payload, truth_json
from packline_recommendation.layout import KnownUser
from packline_recommendation.task import RecommendationTask

from services.recommendation.tests.bundles import DAY, NOW, circle, write_bundle

COUNT = 20
COLOURS = [{"colour": "red" if n % 2 else "blue", "size": str(n % 3)} for n in range(COUNT)]
NEAR = np.stack([np.array([(n - 1) % COUNT, (n + 1) % COUNT, -1], np.int32) for n in range(COUNT)])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    users = [
        KnownUser("anna", [5], [NOW - 2 * DAY], [1.0]),
        KnownUser("ben", [0, 10], [NOW - 3 * DAY, NOW - 2 * DAY], [0.1, 1.0], hidden=[11]),
        KnownUser("한나", [3], [NOW - DAY], [1.0]),
    ]
    return write_bundle(
        tmp_path_factory.mktemp("circle"),
        vectors=circle(COUNT),
        users=users,
        attributes=COLOURS,
        contexts={("country", "KR"): ([7, 8], [3.0, 5.0])},
        neighbours=(NEAR, np.where(NEAR >= 0, 1.0, 0.0).astype(np.float32)),
    )


@pytest.fixture(scope="module")
def predictor(bundle: Bundle) -> Iterator[RecommendationPredictor]:
    opened = RecommendationTask().load(bundle, Runtime(threads=1))
    yield opened
    opened.close()


def ask(predictor: RecommendationPredictor, question: Ask) -> Answer:
    (answer,) = predictor.predict(predictor.prepare(replace(question, now=question.now or NOW)))
    assert isinstance(answer, Answer)
    return answer


def items(answer: Answer) -> list[str]:
    return [result.item for result in answer.results]


def test_a_known_user_gets_what_is_like_its_history_without_what_it_has(predictor: RecommendationPredictor) -> None:
    answer = ask(predictor, Ask("anna", k=3))
    assert answer.basis is Basis.USER and not answer.notes
    assert set(items(answer)[:2]) == {"i4", "i6"} and "i5" not in items(answer)
    assert answer.results[0].text == "Item " + answer.results[0].item[1:]
    assert answer.results[0].score >= answer.results[1].score >= answer.results[2].score
    assert items(ask(predictor, Ask("anna", k=1, repeats=True))) == ["i5"]
    assert set(items(ask(predictor, Ask("한나", k=2)))) == {"i2", "i4"}


def test_what_a_user_did_since_counts_at_once(predictor: RecommendationPredictor) -> None:
    bought = Raw("i15", "purchase", 5.0, NOW)
    since = ask(predictor, Ask("anna", recorded=[bought], k=2))
    assert set(items(since)) == {"i14", "i16"} and since.basis is Basis.USER
    returned = Raw("i15", "return", None, NOW + 1)
    assert items(ask(predictor, Ask("anna", recorded=[bought, returned], k=2))) == items(
        ask(predictor, Ask("anna", k=2))
    )
    hidden = Raw("i4", "hide", None, NOW)
    assert "i4" not in items(ask(predictor, Ask("anna", recorded=[hidden], k=10)))
    # Trained on and recorded alike, it is one event.
    known = Raw("i5", "purchase", 1.0, NOW - 2 * DAY)
    assert len(predictor.query(Ask("anna", recorded=[known])).history) == 1


def test_refusals_of_a_bundle_hold(predictor: RecommendationPredictor) -> None:
    assert "i11" not in items(ask(predictor, Ask("ben", k=18)))
    assert len(items(ask(predictor, Ask("ben", k=18)))) == COUNT - 3


def test_a_session_is_answered_by_its_items(predictor: RecommendationPredictor) -> None:
    answer = ask(predictor, Ask(session=["i2", "nothing-like-it"], k=2))
    assert (answer.basis, set(items(answer)), answer.unknown_items) == (
        Basis.SESSION,
        {"i1", "i3"},
        ("nothing-like-it",),
    )
    with_user = ask(predictor, Ask("anna", session=["i6", "i6"], k=1))
    assert with_user.basis is Basis.USER and items(with_user) == ["i7"]


def test_those_nobody_knows_get_what_is_popular_where_they_are(predictor: RecommendationPredictor) -> None:
    answer = ask(predictor, Ask("stranger", k=3))
    assert (answer.basis, items(answer)) == (Basis.POPULAR, ["i0", "i1", "i2"])
    assert answer.notes == ("user stranger is unknown",)
    korean = ask(predictor, Ask("stranger", context={"country": "KR"}, k=3))
    assert (korean.basis, items(korean)) == (Basis.POPULAR_IN_CONTEXT, ["i8", "i7", "i0"])
    assert ask(predictor, Ask("stranger", context={"country": "??"}, k=3)).basis is Basis.POPULAR
    assert ask(predictor, Ask(session=["unknown"], k=3)).basis is Basis.POPULAR


@pytest.mark.parametrize("user", ["anna", "stranger"])
def test_filters_come_before_the_cut(predictor: RecommendationPredictor, user: str) -> None:
    red = Condition("colour", frozenset({"red"}))
    answer = ask(predictor, Ask(user, k=9, conditions=(red,)))
    assert len(answer.results) == 9 and all(int(item[1:]) % 2 for item in items(answer))
    both = ask(predictor, Ask(user, k=9, conditions=(red, Condition("size", frozenset({"0", "1"}), exclude=True))))
    assert {int(item[1:]) for item in items(both)} <= {5, 11, 17} and "only " in both.notes[-1]
    stocked = ask(predictor, Ask(user, k=2, stock=frozenset({"i1", "i9", "i13", "zzz"}), exclude=frozenset({"i1"})))
    assert set(items(stocked)) == {"i9", "i13"} and len(items(stocked)) == 2


@pytest.mark.parametrize("user", ["anna", "stranger"])
def test_filters_that_leave_nothing_say_so(predictor: RecommendationPredictor, user: str) -> None:
    for question in (
        Ask(user, conditions=(Condition("colour", frozenset({"pink"})),)),
        Ask(user, conditions=(Condition("flavour", frozenset({"sweet"})),)),
        Ask(user, stock=frozenset()),
    ):
        answer = ask(predictor, question)
        assert not answer.results and "only 0 of 10 items are left" in answer.notes[-1]
    assert (
        len(ask(predictor, Ask(user, conditions=(Condition("flavour", frozenset("x"), exclude=True),))).results) == 10
    )


def test_k_beyond_the_catalogue_is_reduced_in_words(predictor: RecommendationPredictor) -> None:
    answer = ask(predictor, Ask("anna", k=1_000_000, repeats=True))
    assert len(answer.results) == COUNT
    assert answer.notes == (f"k was reduced from 1000000 to {COUNT}: there are {COUNT} items",)


def test_causes_are_items_of_the_history(predictor: RecommendationPredictor) -> None:
    answer = ask(predictor, Ask("ben", k=3, causes=True))
    (first,) = [result for result in answer.results if result.item == "i9"]
    assert first.causes == (("i10", 1.0),)
    assert not ask(predictor, Ask("ben", k=3)).results[0].causes


def test_questions_of_different_kinds_share_a_batch(predictor: RecommendationPredictor) -> None:
    questions = [Ask("anna", k=2), Ask("stranger", k=5), Ask(session=["i9", "i10", "i11"], k=4), Ask("ben", k=1)]
    works = [predictor.prepare(replace(question, now=NOW))[0] for question in questions]
    together = predictor.predict(works)
    assert [items(answer) for answer in together if isinstance(answer, Answer)] == [
        items(ask(predictor, question)) for question in questions
    ]


def test_the_gate_judges_by_the_history_that_an_example_gives(predictor: RecommendationPredictor) -> None:
    def example(history: tuple[Event, ...], truth: str) -> Example:
        query = Query("anna", history, now=NOW)
        return Example("next:anna", query_payload(query), truth_json([Event(truth, "purchase", 1.0, NOW)]), "anna", "")

    task = RecommendationTask()
    given = example((Event("i15", "purchase", 1.0, NOW - DAY),), "i14")
    (score,) = task.evaluate(predictor, iter([given]))
    assert score.counts["recall_at_10"].value == 1 and 0 < score.counts["ndcg_at_10"].value <= 1
    far = example((Event("i15", "purchase", 1.0, NOW - DAY),), "i5")
    assert [one.counts["recall_at_10"].value for one in task.evaluate(predictor, iter([far, given] * 40))] == [
        0,
        1,
    ] * 40
    assert task.agreement(predictor.answer(given.payload), predictor.answer(given.payload)) == pytest.approx(1)
    assert json.loads(predictor.answer(query_payload(Query("anna", ()))))["basis"] == "user"


def test_a_bundle_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    good = write_bundle(tmp_path / "good", vectors=circle(4))
    other = write_bundle(tmp_path / "other", vectors=circle(5))
    (good.folder / "model.onnx").write_bytes((other.folder / "model.onnx").read_bytes())
    with pytest.raises(BundleRejected, match="scores 5 items where the catalogue has 4"):
        RecommendationPredictor(good, Runtime(threads=1))
    (good.folder / "items.parquet").write_bytes(b"no table")
    with pytest.raises(BundleRejected, match="its tables cannot be read"):
        RecommendationPredictor(good, Runtime(threads=1))


def test_one_item_alone(tmp_path: Path) -> None:
    only = write_bundle(tmp_path / "one", vectors=circle(1), users=[KnownUser("u", [0], [NOW - DAY], [1.0])])
    predictor = RecommendationPredictor(only, Runtime(threads=1))
    assert items(ask(predictor, Ask("u"))) == []
    assert items(ask(predictor, Ask("u", repeats=True))) == ["i0"]
    assert items(ask(predictor, Ask("nobody"))) == ["i0"]
