"""CompareVersions: exact counts in any window, whatever lies in predictions, minutes and hours."""

import math
import random
from collections import Counter
from datetime import datetime, timedelta

import grpc
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_monitoring.figures import FAULTS, window

from services.monitoring.tests.harness import NOW, Service, prediction

EXACT = timedelta(days=7)


def made(count: int, seed: int) -> list[pb.Prediction]:
    random.seed(seed)
    return [
        prediction(
            NOW - timedelta(seconds=random.choice([60, 7200, 500_000]) * random.random()),
            model_version=random.choice(["v2", "v10"]),
            code=random.choice([0] * 8 + [3, 13]),
            seconds=random.lognormvariate(-2, 1),
            shadow_of=random.choice(["", "", "x"]),
            agreement=random.random(),
            signals={"confidence": random.random()},
        )
        for _ in range(count)
    ]


def expected(messages: list[pb.Prediction], since: datetime, version: str) -> dict[str, object]:
    mine = [m for m in messages if m.model_version == version and m.at.ToDatetime(NOW.tzinfo) >= since]
    names = {0: "OK", 3: "INVALID_ARGUMENT", 13: "INTERNAL"}
    live, shadow = [m for m in mine if not m.shadow_of], [m for m in mine if m.shadow_of]
    return {
        "requests": len(live),
        "errors": sum(m.code == 13 for m in live),
        "shadow_requests": len(shadow),
        "shadow_errors": sum(m.code == 13 for m in shadow),
        "codes": dict(Counter(names[m.code] for m in mine)),
    }


def quantile(messages: list[pb.Prediction], share: float) -> float:
    latencies = sorted(m.latency.ToTimedelta().total_seconds() for m in messages)
    return latencies[math.ceil(share * len(latencies)) - 1]


@pytest.mark.parametrize(
    "back", [timedelta(seconds=31), timedelta(minutes=17, microseconds=1), timedelta(hours=2), timedelta(days=4)]
)
async def test_counts_are_exact_in_any_window(service: Service, back: timedelta) -> None:
    messages = made(600, seed=int(back.total_seconds()))
    for start in range(0, 600, 100):
        await service.record(*messages[start : start + 100])
    since = NOW - back
    answer = await service.compare(since)
    seen = {m.model_version for m in messages if m.at.ToDatetime(NOW.tzinfo) >= since}
    assert [figures.model_version for figures in answer.versions] == [v for v in ("v2", "v10") if v in seen]
    for figures in answer.versions:
        wanted = expected(messages, since, figures.model_version)
        got = {name: getattr(figures, name) for name in wanted}
        assert {**got, "codes": dict(figures.codes)} == wanted
        mine = [
            m for m in messages if m.model_version == figures.model_version and m.at.ToDatetime(NOW.tzinfo) >= since
        ]
        ok = [m for m in mine if m.code == 0]
        live, shadow = [m for m in ok if not m.shadow_of], [m for m in ok if m.shadow_of]
        p90 = figures.latency.p90.ToTimedelta().total_seconds()
        assert p90 == pytest.approx(quantile(live, 0.9), rel=0.011)
        assert figures.shadow_latency.p50.ToTimedelta().total_seconds() == pytest.approx(
            quantile(shadow, 0.5), rel=0.011
        )
        assert figures.agreement == pytest.approx(sum(m.agreement for m in shadow) / len(shadow))
        mean = sum(m.signals["confidence"] for m in mine) / len(mine)
        assert figures.signals["confidence"] == pytest.approx(mean)


async def test_an_old_start_goes_back_to_its_hour_and_none_means_all_time(service: Service) -> None:
    old = NOW - timedelta(days=30, minutes=5)
    await service.record(prediction(old), prediction(NOW - timedelta(days=31)), prediction())
    assert (await service.compare(old + timedelta(minutes=1))).versions[0].requests == 2
    assert (await service.compare(old + timedelta(hours=1))).versions[0].requests == 1
    assert (await service.compare()).versions[0].requests == 3


async def test_a_version_asked_for_is_there_without_figures(service: Service) -> None:
    await service.record(prediction(), prediction(model_version="v2"))
    answer = await service.compare(None, "v9", "v2", "v9")
    assert [(figures.model_version, figures.requests) for figures in answer.versions] == [("v9", 0), ("v2", 1)]
    assert not answer.versions[0].HasField("latency")


async def test_only_faults_of_the_version_are_errors(service: Service) -> None:
    await service.record(*(prediction(code=code) for code in range(17)))
    (figures,) = (await service.compare()).versions
    assert (figures.requests, figures.errors) == (17, len(FAULTS))
    assert sum(figures.codes.values()) == 17


async def test_too_many_versions_are_refused(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="100 at most"):
        await service.compare(None, *(f"v{n}" for n in range(101)))


async def test_another_packs_figures_are_not_mixed_in(service: Service) -> None:
    await service.record(prediction(), prediction(pack="invoices"), invoices=3)
    answer = await service.compare()
    assert (answer.versions[0].requests, answer.dropped) == (1, 0)
    assert (await service.stub.CompareVersions(pb.CompareVersionsRequest(pack="nobody"))).versions == []


def test_a_window_is_read_from_predictions_then_minutes_then_hours() -> None:
    since = NOW - timedelta(hours=1)
    span = window(since, NOW, EXACT)
    assert (span.since, span.minutes.isoformat(), span.hours.isoformat()) == (
        since,
        "2026-03-02T09:31:00+00:00",
        "2026-03-02T10:00:00+00:00",
    )
    full = NOW.replace(minute=0, second=0, microsecond=0)
    assert window(full, NOW, EXACT).hours == full
