"""Hit rates and off-policy estimates: from predictions and truths in the database to figures with intervals."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.task import Count
from packline_monitoring import outcomes as outcomes_module
from packline_monitoring.domain import Outcome
from packline_monitoring.hits import hit_rates, off_policy

from services.monitoring.tests.harness import NOW, PACK, Clock, Service, prediction

SHOP = {PACK: {"task": "shop"}}


def outcome(version: str, group: str, *, hit: bool) -> Outcome:
    return Outcome(version, group, hit)


def list_of(*items: str) -> str:
    return json.dumps(items)


async def shop(service: Service) -> Service:
    service.peer.manifests = SHOP
    return service


async def shown(service: Service, version: str, user: str, *items: str, shadow: Sequence[str] = ()) -> str:
    """An answer that a user saw, with its payload, and what a candidate would have answered."""
    seen = prediction(model_version=version, payload=user.encode(), answer_json=list_of(*items))
    batch = [seen]
    if shadow:
        batch.append(prediction(model_version="v9", shadow_of=seen.prediction_id, answer_json=list_of(*shadow)))
    await service.record(*batch)
    return seen.prediction_id


async def figures(service: Service, *versions: str) -> dict[str, pb.VersionFigures]:
    return {one.model_version: one for one in (await service.compare(None, *versions)).versions}


@pytest.mark.backends
async def test_a_hit_is_an_answer_of_which_something_was_taken(service: Service) -> None:
    await shop(service)
    for number in range(10):
        await shown(service, "v1", f"quiet{number}", "a", "b")
    taken = await shown(service, "v1", "u", "a", "b")
    await service.correct(prediction_id=taken, truth_json=list_of("b"))
    await service.correct(prediction_id=taken, truth_json=list_of("elsewhere"))
    missed = await shown(service, "v1", "u", "a", "b")
    await service.correct(prediction_id=missed, truth_json=list_of("elsewhere"))
    other = await shown(service, "v2", "w", "c")
    await service.correct(prediction_id=other, truth_json=list_of("c"))
    found = await figures(service)
    hits = found["v1"].hits
    assert (hits.answers, hits.told, hits.hits) == (12, 2, 1)
    assert hits.rate.value == pytest.approx(1 / 12)
    assert 0 <= hits.rate.low < hits.rate.value < hits.rate.high < 1
    assert (found["v2"].hits.answers, found["v2"].hits.hits) == (1, 1)
    assert not found["v1"].HasField("off_policy")
    assert set(await figures(service, "v2")) == {"v2"}


async def test_an_answer_that_was_not_kept_is_in_no_rate(service: Service) -> None:
    await shop(service)
    bare = prediction(model_version="v1")
    await service.record(bare)
    await shown(service, "v1", "u", "a")
    await service.correct(prediction_id=bare.prediction_id, payload=b"w", truth_json=list_of("a"))
    hits = (await figures(service))["v1"].hits
    assert (hits.answers, hits.told, hits.hits) == (1, 0, 0)


async def test_complaints_are_no_hits(service: Service) -> None:
    said = prediction(payload=b"page", answer_json="[]")
    await service.record(said)
    await service.correct(prediction_id=said.prediction_id)
    (only,) = (await service.compare()).versions
    assert only.corrected == 1
    assert not only.HasField("hits")


@pytest.mark.backends
async def test_what_nobody_saw_is_judged_by_what_was_taken(service: Service) -> None:
    await shop(service)
    for number in range(40):
        taken = await shown(service, "v1", f"u{number}", "a", "b", "c", shadow=("c", "b", "a"))
        await service.correct(prediction_id=taken, truth_json=list_of("c" if number % 4 else "b"))
    await shown(service, "v1", "nobody told", "a", shadow=("a",))
    own = (await figures(service))["v9"]
    assert (own.shadow_requests, own.HasField("hits")) == (41, False)
    off = own.off_policy
    assert (off.calls, off.own > off.shown) == (40, True)
    assert off.difference.value == pytest.approx(off.own - off.shown)
    assert 0 < off.difference.low <= off.difference.value <= off.difference.high


async def test_a_shadows_answer_goes_with_its_calls_payload(service: Service, clock: Clock) -> None:
    await shop(service)
    taken = await shown(service, "v1", "u", "a", shadow=("a",))
    await shown(service, "v1", "w", "a", shadow=("a",))
    await service.correct(prediction_id=taken, truth_json=list_of("a"))
    clock.forward(days=60)
    await service.monitoring.housekeeping.round()
    assert len(service.objects()) == 1
    assert (await figures(service))["v9"].off_policy.calls == 1
    await service.stub.ErasePrediction(pb.ErasePredictionRequest(pack=PACK, prediction_id=taken))
    assert not service.objects()
    found = await figures(service)
    assert not found["v9"].HasField("off_policy")
    assert (found["v1"].hits.answers, found["v1"].hits.told) == (2, 0)


async def test_a_shadow_of_an_unkept_call_leaves_no_answer(service: Service) -> None:
    await shop(service)
    bare = prediction(model_version="v1")
    await service.record(bare, prediction(model_version="v9", shadow_of=bare.prediction_id, answer_json=list_of("a")))
    await service.correct(prediction_id=bare.prediction_id, payload=b"u", truth_json=list_of("a"))
    assert not (await figures(service))["v9"].HasField("off_policy")


async def test_of_very_many_truths_the_newest_are_read(
    service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop(service)
    monkeypatch.setattr(outcomes_module, "MOST_TOLD", 3)
    for number in range(8):
        clock.forward(minutes=7)
        seen = prediction(clock.now, model_version="v1", payload=b"u%d" % number, answer_json=list_of("a"))
        await service.record(seen)
        clock.forward(seconds=1)
        await service.correct(prediction_id=seen.prediction_id, truth_json=list_of("a" if number % 2 else "x"))
    hits = (await figures(service))["v1"].hits
    assert (hits.answers, hits.told, hits.hits) == (3, 3, 2)
    assert (await service.compare(NOW)).corrections_total == 8


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    # Users differ in how often they take something, and ask six times each.
    generator = random.Random(5)
    held = 0
    for _ in range(150):
        outcomes = []
        for user in range(60):
            inclination = generator.betavariate(1, 3)
            outcomes += [outcome("v1", f"u{user}", hit=generator.random() < inclination) for _ in range(6)]
        rate = hit_rates(outcomes, {})["v1"].rate
        held += rate.low <= 0.25 <= rate.high
    assert 0.8 <= held / 150 <= 0.97


def test_no_hit_in_few_answers_is_no_certainty() -> None:
    rate = hit_rates([outcome("v1", "u", hit=False)], {"v1": 5})["v1"].rate
    assert rate.value == rate.low == 0
    assert rate.high > 0.2


def test_very_many_users_are_pooled() -> None:
    outcomes = [outcome("v1", f"u{number}", hit=number % 3 == 0) for number in range(5000)]
    rate = hit_rates(outcomes, {"v1": 10_000})["v1"].rate
    assert rate.value == pytest.approx(1667 / 10_000)
    assert rate.high - rate.low == pytest.approx(2 * 1.645 * (0.1667 * 0.8333 / 10_000) ** 0.5, rel=0.15)


def test_equal_answers_differ_by_nothing() -> None:
    worth = Count(1.0, 2.0)
    (off,) = off_policy([Outcome("v1", f"u{n}", True, "v2", worth, worth) for n in range(20)]).values()
    assert (off.calls, off.difference.low, off.difference.value, off.difference.high) == (20, 0, 0, 0)


def test_calls_that_tell_nothing_are_left_out() -> None:
    assert off_policy([Outcome("v1", "u", True, "v2", Count(1.0, 2.0), Count(0.0, 0.0))]) == {}
