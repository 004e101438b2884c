"""Any message at all: a clear status, never an internal error, and the service goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline_core.rpc import error_from_call
from packline_monitoring.config import Limits

from services.monitoring.tests.harness import PACK, Clock, Peer, serving
from tests.backends.fixtures import BACKENDS, Backend, open_backend

# What a service may say to a wrong request. INTERNAL and UNKNOWN are our fault, UNAVAILABLE means that it died.
CLEAR = {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION"}
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

TEXT = st.one_of(st.text(max_size=20), st.sampled_from(["p", "c", "v1", "sha256:" + "a" * 64, "../x", "a\0b", "é"]))
PACKS = st.one_of(st.just(PACK), TEXT)
BYTES = st.binary(max_size=50)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
SECONDS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(1_770_000_000, 1_780_000_000))
NANOS = st.one_of(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 999_999_999))
UINT32, UINT64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
TIMES = st.builds(Timestamp, seconds=SECONDS, nanos=NANOS)
SLOTS = st.builds(pb.Slot, state=st.integers(-3, 9), version=TEXT, digest=TEXT, reason=TEXT, message=TEXT)
PREDICTIONS = st.builds(
    pb.Prediction,
    prediction_id=TEXT,
    pack=PACKS,
    model_version=TEXT,
    at=TIMES,
    latency=st.builds(Duration, seconds=SECONDS, nanos=NANOS),
    code=st.one_of(st.integers(0, 16), st.integers(-(1 << 31), (1 << 31) - 1)),
    reason=TEXT,
    signals=st.dictionaries(TEXT, NUMBERS, max_size=3),
    shadow_of=TEXT,
    agreement=NUMBERS,
    payload=BYTES,
    answer_json=TEXT,
)
TRUTHS = st.one_of(TEXT, st.just('[{"transcription": "a"}]'), st.just('[{"transcription": "\\u0000\\ud800"}]'))
REQUESTS: dict[str, st.SearchStrategy[Any]] = {
    "RecordPredictions": st.builds(
        pb.RecordPredictionsRequest,
        predictions=st.lists(PREDICTIONS, max_size=4),
        dropped=st.dictionaries(PACKS, UINT64, max_size=2),
    ),
    "Correct": st.builds(
        pb.CorrectRequest,
        pack=PACKS,
        prediction_id=TEXT,
        correction_id=TEXT,
        truth_json=TRUTHS,
        payload=BYTES,
        page=UINT32,
    ),
    "ListErrorCases": st.builds(pb.ListErrorCasesRequest, pack=PACKS, after_sequence=UINT64, limit=UINT32),
    "GetPayload": st.builds(pb.GetPayloadRequest, pack=PACKS, prediction_id=TEXT, payload_digest=TEXT),
    "CompareVersions": st.builds(
        pb.CompareVersionsRequest, pack=PACKS, since=TIMES, versions=st.lists(TEXT, max_size=3)
    ),
    "ErasePrediction": st.builds(pb.ErasePredictionRequest, pack=PACKS, prediction_id=TEXT, payload_digest=TEXT),
    "ForgetPack": st.builds(pb.ForgetPackRequest, pack=PACKS),
    "ReportReplica": st.builds(
        pb.ReportReplicaRequest,
        replica=st.builds(pb.Replica, pack=PACKS, replica_id=TEXT, node=TEXT, active=SLOTS, candidate=SLOTS),
    ),
    "ListReplicas": st.builds(pb.ListReplicasRequest, pack=PACKS),
}


@pytest.fixture(scope="module", params=BACKENDS)
def stub(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[monitoring_pb2_grpc.MonitoringServiceStub]:
    """A service on its own event loop, since hypothesis calls from outside of one."""
    ports: list[int] = []
    ready, ended = threading.Event(), threading.Event()

    async def serve(backend: Backend) -> None:
        peer = Peer()
        await peer.start()
        clock = Clock(datetime(2026, 3, 1, tzinfo=UTC))
        async with serving(backend, clock, peer, Limits(arrival=0.01, pause=3600.0)) as service:
            ports.append(service.port)
            ready.set()
            await asyncio.to_thread(ended.wait)
        await peer.stop()

    with open_backend(request, request.param, tmp_path_factory.mktemp("fuzz")) as backend:
        thread = threading.Thread(target=lambda: asyncio.run(serve(backend)))
        thread.start()
        assert ready.wait(120)
        with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
            yield monitoring_pb2_grpc.MonitoringServiceStub(channel)
        ended.set()
        thread.join()


@pytest.mark.parametrize("method", REQUESTS)
def test_any_request_is_answered_clearly(stub: monitoring_pb2_grpc.MonitoringServiceStub, method: str) -> None:
    @FUZZ
    @given(REQUESTS[method])
    def run(request: Any) -> None:
        try:
            getattr(stub, method)(request, timeout=30)
        except grpc.RpcError as refused:
            error = error_from_call(refused)
            assert error.code.name in CLEAR, (error.code, error.message)
            assert error.reason
            assert error.message

    run()


def test_every_method_is_fuzzed() -> None:
    service = pb.DESCRIPTOR.services_by_name["MonitoringService"]
    assert sorted(REQUESTS) == sorted(method.name for method in service.methods)
