"""Processes that die, queues that fill, clocks that run out, Packs that are not there: on a real fleet."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from packline.echo.v1.echo_pb2 import EchoRequest
from packline.echo.v1.echo_pb2_grpc import EchoServiceStub
from packline.ocr.v1.ocr_pb2 import RecognizeDocumentRequest
from packline.ocr.v1.ocr_pb2_grpc import OcrServiceStub
from packline.training.v1.training_pb2 import WatchRunRequest
from packline.training.v1.training_pb2_grpc import RunServiceStub
from packline_core.bundle import Bundle
from packline_core.errors import (
    Code,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    PacklineError,
    Unavailable,
    Unimplemented,
)
from packline_core.fleet.api import ReplicaStatus
from packline_core.rpc import call_metadata, error_from_call
from packline_core.serving.config import Limits
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, echo_pack
from packline_echo.load import EchoLoad

PACK = "processes"


@pytest.fixture(scope="module")
def bundle(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    bundle = write_bundle(tmp_path_factory.mktemp("good") / "v1", offset=1.0)
    fleet.put(echo_pack(PACK, bundle, replicas=2))
    yield bundle
    fleet.remove(PACK, wait=False)


def failure(stub: EchoServiceStub, pack: str, *, application: str = "", timeout: float = 20) -> PacklineError:
    """How a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Echo(EchoRequest(pack=pack, values=[1.0]), metadata=call_metadata(application or pack), timeout=timeout)
    return error_from_call(caught.value)


def replaced(fleet: RunningFleet, dead: ReplicaStatus) -> tuple[ReplicaStatus, ...]:
    """The two replicas that run once Serve has another in place of a dead one."""
    deadline = time.monotonic() + 60
    while True:
        running = fleet.api.applications()[PACK].running
        if len(running) == 2 and dead.replica_id not in {replica.replica_id for replica in running}:
            return running
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_kill_9_of_a_replica_costs_calls_in_flight_alone(fleet: RunningFleet, bundle: Bundle) -> None:
    first, second = fleet.api.applications()[PACK].running
    with EchoLoad(fleet.settings.address, PACK) as load:
        time.sleep(0.5)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        while psutil.pid_exists(first.pid):  # a busy machine takes its time to end it
            time.sleep(0.01)
        killed = time.monotonic()
        time.sleep(3)
    assert all(isinstance(error, Unavailable) for _, error in load.failures), load.failures
    assert [sent for sent, _ in load.failures if sent > killed + 1.0] == []
    assert len(load.failures) <= load.clients * 2
    assert second.replica_id in {replica.replica_id for replica in replaced(fleet, first)}


def test_a_client_that_retries_notices_nothing(fleet: RunningFleet, bundle: Bundle) -> None:
    victim = fleet.api.applications()[PACK].running[0]
    with EchoLoad(fleet.settings.address, PACK, retries=True) as load:
        time.sleep(0.5)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        time.sleep(3)
    assert load.failures == []
    replaced(fleet, victim)


def test_overload_is_refused_at_once_and_admitted_calls_keep_their_latency(fleet: RunningFleet, tmp_path: Path) -> None:
    slow = write_bundle(tmp_path / "slow", depth=1500)
    fleet.put(echo_pack("crowded", slow, limits=Limits(threads=1, max_queue=4, max_batch=2)))
    request = EchoRequest(pack="crowded", values=[0.5] * 256)
    refused: list[Overloaded] = []
    latencies: list[float] = []
    lock = threading.Lock()

    def call(stub: EchoServiceStub) -> None:
        for _ in range(15):
            sent = time.monotonic()
            try:
                stub.Echo(request, metadata=call_metadata("crowded"), timeout=30)
            except grpc.RpcError as error:
                known = error_from_call(error)
                assert isinstance(known, Overloaded), known
                with lock:
                    refused.append(known)
            else:
                with lock:
                    latencies.append(time.monotonic() - sent)

    with fleet.echo() as stub:
        alone = []
        for _ in range(10):
            sent = time.monotonic()
            stub.Echo(request, metadata=call_metadata("crowded"))
            alone.append(time.monotonic() - sent)
        with ThreadPoolExecutor(40) as pool:
            for done in [pool.submit(call, stub) for _ in range(40)]:
                done.result()
    fleet.remove("crowded", wait=False)
    assert refused and latencies
    assert {error.reason for error in refused} == {"OVERLOADED"}
    assert all(0.05 <= error.retry_after <= 60 for error in refused)
    # Of 40 callers a queue of 4 admits few; without a bound every call would wait for 20 batches before its own.
    ranked = sorted(latencies)
    assert ranked[len(ranked) // 2] < 15 * max(alone)


def test_a_deadline_that_passes_says_so(fleet: RunningFleet, bundle: Bundle) -> None:
    with fleet.echo() as stub:
        assert isinstance(failure(stub, PACK, timeout=0.0001), DeadlineExceeded)


def test_an_oversize_message_is_refused_by_either_side(fleet: RunningFleet, bundle: Bundle) -> None:
    request = EchoRequest(pack=PACK, values=[0.0] * (17 << 20))
    with fleet.echo() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.Echo(request, metadata=call_metadata(PACK))
    assert isinstance(error_from_call(caught.value), InvalidInput)
    with grpc.insecure_channel(fleet.settings.address, options=[("grpc.max_send_message_length", -1)]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            EchoServiceStub(channel).Echo(request, metadata=call_metadata(PACK))
        assert error_from_call(caught.value).code in {Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED}
        answer = EchoServiceStub(channel).Echo(EchoRequest(pack=PACK, values=[1.0]), metadata=call_metadata(PACK))
        assert answer.values == [2.0]


def test_a_large_message_within_the_limit_passes(fleet: RunningFleet, bundle: Bundle) -> None:
    with fleet.echo() as stub:
        answer = stub.Echo(EchoRequest(pack=PACK, values=[0.0] * 1_000_000), metadata=call_metadata(PACK), timeout=60)
    assert len(answer.values) == 1_000_000


def test_an_unknown_pack_is_not_found(fleet: RunningFleet, bundle: Bundle) -> None:
    with fleet.echo() as stub:
        for application, pack in (("nobody", "nobody"), (PACK, "nobody"), ("nobody", PACK)):
            error = failure(stub, pack, application=application)
            assert isinstance(error, NotFound) and error.reason == "UNKNOWN_PACK"


def test_a_pack_just_deleted_is_never_answered_by_its_neighbour(
    fleet: RunningFleet, bundle: Bundle, tmp_path: Path
) -> None:
    fleet.put(echo_pack("leaver", write_bundle(tmp_path / "leaver", offset=9.0)))
    with EchoLoad(fleet.settings.address, "leaver", clients=2) as load:
        time.sleep(0.5)
        fleet.remove("leaver")
        gone = time.monotonic()
        time.sleep(1.5)
    assert {answer.offset for answer in load.answers} == {9.0}, "nobody else answered in its name"
    assert not [answer for answer in load.answers if answer.sent > gone]
    late = [error for sent, error in load.failures if sent > gone]
    assert late and all(isinstance(error, NotFound) for error in late)
    assert all(isinstance(error, NotFound | Unavailable) for _, error in load.failures)


def test_another_applications_method_is_unimplemented_and_nothing_is_told_of_the_class(
    fleet: RunningFleet, bundle: Bundle
) -> None:
    with fleet.channel() as channel:
        for call in (
            lambda: OcrServiceStub(channel).RecognizeDocument(
                RecognizeDocumentRequest(pack=PACK), metadata=call_metadata(PACK)
            ),
            lambda: next(RunServiceStub(channel).WatchRun(WatchRunRequest(pack=PACK), metadata=call_metadata(PACK))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            error = error_from_call(caught.value)
            assert isinstance(error, Unimplemented) and "_answer" not in error.message


def test_health_and_reflection(fleet: RunningFleet, bundle: Bundle) -> None:
    with fleet.channel() as channel:
        health, metadata = health_pb2_grpc.HealthStub(channel), call_metadata(PACK)
        for service in ("", "packline.echo.v1.EchoService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), metadata=metadata)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="no.Such"), metadata=metadata)
        assert isinstance(error_from_call(caught.value), NotFound)
        watch = health.Watch(health_pb2.HealthCheckRequest(), metadata=metadata, timeout=60)
        assert next(iter(watch)).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        requests = iter([ServerReflectionRequest(list_services="")])
        (listed,) = ServerReflectionStub(channel).ServerReflectionInfo(requests, metadata=metadata)
        names = {service.name for service in listed.list_services_response.service}
        assert {"packline.echo.v1.EchoService", "grpc.health.v1.Health"} <= names


def test_fewer_replicas_drain_gracefully(fleet: RunningFleet, bundle: Bundle) -> None:
    with EchoLoad(fleet.settings.address, PACK) as load:
        time.sleep(0.5)
        fleet.put(echo_pack(PACK, bundle, replicas=1))
        deadline = time.monotonic() + 60
        while len(fleet.api.applications()[PACK].replicas) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(1)
    assert load.failures == []
    fleet.put(echo_pack(PACK, bundle, replicas=2))
