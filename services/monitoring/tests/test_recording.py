"""RecordPredictions over gRPC: once each, all of a batch or nothing, payloads kept once."""

import asyncio
import os
from datetime import timedelta

import grpc
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.errors import InvalidInput, Overloaded
from packline_core.rpc import error_from_call
from packline_monitoring.config import Limits
from packline_monitoring.load import Memory, Threads

from services.monitoring.tests.harness import NOW, Service, holding, prediction


async def test_a_prediction_sent_twice_counts_once(service: Service) -> None:
    first = [prediction(prediction_id=f"p{n}") for n in range(3)]
    assert (await service.record(*first)).recorded == 3
    assert (await service.record(*first, prediction(prediction_id="p9"))).recorded == 1
    (figures,) = (await service.compare()).versions
    assert figures.requests == 4


async def test_a_batch_with_one_that_can_never_be_recorded_leaves_nothing(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.record(prediction(payload=b"data"), prediction(pack="No Pack"))
    error = error_from_call(refused.value)
    assert isinstance(error, InvalidInput)
    assert error.field == "predictions[1].pack"
    assert not (await service.compare()).versions
    assert not service.objects()


async def test_a_prediction_without_a_time_is_refused(service: Service) -> None:
    message = prediction()
    message.ClearField("at")
    with pytest.raises(grpc.aio.AioRpcError, match=r"predictions\[0\].at"):
        await service.record(message)


async def test_equal_payloads_are_kept_once_and_come_back_as_they_were(service: Service) -> None:
    payload = os.urandom(100_000)
    await service.record(prediction(prediction_id="a", payload=payload), prediction(prediction_id="b", payload=payload))
    assert len(service.objects()) == 1
    assert await service.payload("a") == await service.payload("b") == payload


async def test_a_payload_that_sampling_left_out_is_said_so(service: Service) -> None:
    await service.record(prediction(prediction_id="a"))
    for name, reason in (("a", "PAYLOAD_NOT_KEPT"), ("b", "PREDICTION_UNKNOWN")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.payload(name)
        assert (refused.value.code(), error_from_call(refused.value).reason) == (grpc.StatusCode.NOT_FOUND, reason)


async def test_dropped_predictions_and_those_too_old_are_told(service: Service) -> None:
    old = prediction(NOW - timedelta(days=91))
    assert (await service.record(old, receipts=7)).recorded == 0
    assert (await service.compare(NOW - timedelta(hours=1))).dropped == 8


async def test_prometheus_counts_what_was_recorded(service: Service) -> None:
    await service.record(prediction(), prediction(code=13), prediction(shadow_of="x", model_version="v2"), receipts=2)

    def value(name: str, **labels: str) -> float | None:
        return service.registry.get_sample_value(name, labels)

    labels = {"pack": "receipts", "model_version": "v1", "shadow": "false"}
    assert value("packline_predictions_total", code="INTERNAL", **labels) == 1
    assert value("packline_prediction_latency_seconds_count", **labels) == 1
    assert value("packline_predictions_total", code="OK", pack="receipts", model_version="v2", shadow="true") == 1
    assert value("packline_predictions_dropped_total", pack="receipts") == 2


async def test_payloads_beyond_what_memory_may_hold_are_refused_with_when_to_come_again() -> None:
    memory = Memory(100)
    with memory.hold(1000):
        with pytest.raises(Overloaded) as refused, memory.hold(1):
            pass
        assert refused.value.retry_after > 0
    with memory.hold(100):
        pass


async def test_calls_beyond_what_threads_take_on_are_refused() -> None:
    threads = Threads(1, 0)
    with pytest.raises(Overloaded):
        await threads.run(lambda: None)
    threads.close()


class TestOverload:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(waiting_writes=1, pause=3600.0)

    async def test_writes_beyond_what_may_wait_are_refused_over_grpc(self, service: Service) -> None:
        with holding(service.engine):
            calls = [asyncio.ensure_future(service.record(prediction())) for _ in range(6)]
            done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            refused = [call.exception() for call in done]
        await asyncio.gather(*calls, return_exceptions=True)
        error = error_from_call(refused[0])  # type: ignore[arg-type]
        assert isinstance(error, Overloaded)
        assert error.retry_after > 0
        recorded = sum(not call.exception() for call in calls)
        assert (await service.compare()).versions[0].requests == recorded > 0


async def test_an_empty_batch_is_no_error(service: Service) -> None:
    assert await service.record() == pb.RecordPredictionsResponse()
