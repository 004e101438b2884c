"""What users did with an answer as truths, and how answers are scored and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packline_core.bundle import verify
from packline_core.errors import InvalidInput
from packline_core.manifest import parse_pack
from packline_core.runtime import Runtime
from packline_core.serving.preflight import check
from packline_core.task import Questioning, Remembering, get_task
from packline_recommendation.examples import Event, History, Query, query_payload, read_example
from packline_recommendation.task import RecommendationTask

TASK = RecommendationTask()
PAYLOAD = query_payload(Query("anna", (Event("a", "purchase", 1.0, 100),), context={"country": "KR"}, now=200))


def answer(*items: str, basis: str = "user") -> str:
    return json.dumps(
        {"basis": basis, "results": [{"item": item, "score": 1.0 / n} for n, item in enumerate(items, 1)]}
    )


def test_a_click_is_what_should_have_come_first() -> None:
    truth = json.dumps([["b", "click", 0.3, 300], ["c", "hide", 1.0, 300]])
    example = TASK.example(PAYLOAD, 1, truth, "correction 1")
    assert example.key.startswith("sha256:") and example.group == "anna" and example.payload == PAYLOAD
    query, events = read_example(example)  # type: ignore[misc]
    assert query.context == {"country": "KR"} and [event.item for event in events] == ["b"]
    assert TASK.score(answer("x", "b"), example).counts["recall_at_10"].value == 1
    assert TASK.score(answer("x", "c"), example).counts["recall_at_10"].value == 0
    assert TASK.example(PAYLOAD, 1, '["b"]', "").key == example.key


def test_what_was_refused_is_kept_from_the_user() -> None:
    example = TASK.example(
        PAYLOAD, 1, json.dumps([["c", "dismiss", 1.0, 300], ["d", "hide", 1.0, 300]]), "correction 2"
    )
    known = read_example(example)
    assert isinstance(known, History) and not example.truth
    assert (known.user, list(known.hidden), list(known.history)) == ("anna", ["c", "d"], [])


@pytest.mark.parametrize(
    ("payload", "truth"),
    [
        (PAYLOAD, "no JSON"),
        (PAYLOAD, "[]"),
        (PAYLOAD, "{}"),
        (PAYLOAD, '[["a"]]'),
        (PAYLOAD, '[{"event": "click"}]'),
        (b"\xff", '["a"]'),
        (b"[]", '["a"]'),
        (query_payload(Query("", ())), '[["a", "hide", 1, 0]]'),
    ],
)
def test_what_is_no_truth_is_refused_in_words(payload: bytes, truth: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        TASK.example(payload, 1, truth, "")
    assert caught.value.message


def test_answers_are_scored_event_by_event() -> None:
    example = TASK.example(PAYLOAD, 1, json.dumps(["b", "c", "d", "b"]), "")
    counts = TASK.score(answer("b", "x", "c"), example).counts
    assert (counts["recall_at_10"].value, counts["recall_at_10"].weight) == (2, 3)
    assert counts["ndcg_at_10"].value == pytest.approx(1 + 0.5)
    late = TASK.score(answer(*[f"x{n}" for n in range(10)], "b"), example).counts
    assert late["recall_at_10"].value == 0


def test_agreement_and_signals() -> None:
    assert TASK.agreement(answer("a", "b"), answer("a", "b")) == pytest.approx(1)
    assert TASK.agreement(answer(), answer()) == 1
    assert TASK.agreement(answer("a", "b"), answer("c", "d")) == 0
    swapped, other = TASK.agreement(answer("a", "b", "c"), answer("b", "a", "c")), answer("a", "b", "d")
    assert 0 < swapped < TASK.agreement(answer("a", "b", "c"), other) < 1
    assert TASK.signals(answer("a", "b"))["personal"] == 1
    assert TASK.signals(answer(basis="popular")) == {"personal": 0.0, "results": 0.0}


def test_the_base_is_the_same_whenever_it_is_built(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        TASK.build_base("popular", tmp_path / name)
        digests.add(verify(tmp_path / name).digest)
    assert len(digests) == 1
    check(verify(tmp_path / "one"), "recommendation", Runtime(threads=1))


def test_the_plug_in_is_found_with_all_that_it_offers() -> None:
    task = get_task("recommendation")
    assert isinstance(task, Questioning) and isinstance(task, Remembering)
    manifest = {
        "apiVersion": "packline.dev/v1alpha1",
        "kind": "Pack",
        "metadata": {"name": "shop"},
        "spec": {
            "task": "recommendation",
            "recommendation": {"repeats": False},
            "objective": {"metric": "recall_at_10"},
        },
    }
    assert parse_pack(manifest).spec.options == {"repeats": False}
    manifest["spec"]["recommendation"] = {"repeat": False}  # type: ignore[index]
    with pytest.raises(InvalidInput, match="unknown field"):
        parse_pack(manifest)
