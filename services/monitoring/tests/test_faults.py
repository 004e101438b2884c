"""Faults of real processes: killed under load, locked out of the database, out of disk."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline_core.bundle import bytes_digest
from packline_core.channels import channel_options
from packline_core.errors import PacklineError
from packline_core.rpc import error_from_call
from packline_monitoring.tables import predictions as predictions_table
from packline_monitoring.tables import tallies

from services.monitoring.tests.harness import PACK, Peer, prediction, truth
from tests.backends.fixtures import Backend, embedded
from tests.backends.objects import ObjectServer
from tests.backends.postgres import running_postgres

ROOT = Path(__file__).parents[3]
Stub = monitoring_pb2_grpc.MonitoringServiceStub
LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


@asynccontextmanager
async def process(backend: Backend, peer: Peer, *before: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Stub]]:
    """A monitoring process and a client of it; it is killed at the end."""
    command = [
        sys.executable,
        "-m",
        "services.monitoring.tests.server",
        backend.database,
        backend.store,
        str(peer.port),
    ]
    if before:
        command = [*before[:-1], f"{before[-1]} && exec {shlex.join(command)}"]
    server = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        line = await server.stdout.readline()
        if not line and before:
            pytest.skip(f"no file system can be mounted here: {(await server.stderr.read()).decode()[-300:]}")
        assert line, (await server.stderr.read()).decode()
        options = channel_options("127.0.0.1:0", retries=False)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{int(line)}", options) as channel:
            yield server, Stub(channel)
    finally:
        if server.returncode is None:
            server.kill()
        await server.communicate()


def fresh(**fields: object) -> pb.Prediction:
    return prediction(datetime.now(UTC), **fields)


async def correct(stub: Stub, **fields: object) -> pb.CorrectResponse:
    given = {"pack": PACK, "correction_id": uuid.uuid4().hex, "truth_json": truth("right"), **fields}
    return await stub.Correct(pb.CorrectRequest(**given))  # type: ignore[no-any-return]


async def record(stub: Stub, *predictions: pb.Prediction) -> pb.RecordPredictionsResponse:
    return await stub.RecordPredictions(pb.RecordPredictionsRequest(predictions=predictions))  # type: ignore[no-any-return]


async def refusal(call: Awaitable[object]) -> PacklineError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return error_from_call(refused.value)


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


async def until_killed(work: Callable[[int], Awaitable[None]]) -> int:
    """Works until the server is gone; returns how often."""
    for number in range(10_000):
        try:
            await work(number)
        except grpc.aio.AioRpcError as error:
            assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}, error
            return number
    raise AssertionError("it was never killed")


async def error_cases(stub: Stub) -> dict[str, pb.ErrorCase]:
    cases: dict[str, pb.ErrorCase] = {}
    after = 0
    while True:
        request = pb.ListErrorCasesRequest(pack=PACK, after_sequence=after)
        page = (await stub.ListErrorCases(request)).cases
        if not page:
            return cases
        cases.update({case.correction_id: case for case in page})
        after = page[-1].sequence


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
async def test_killed_under_load_it_has_all_that_it_acknowledged(backend: Backend, peer: Peer, kills: int) -> None:
    corrections: dict[str, bytes] = {}
    batches: list[list[pb.Prediction]] = []
    acknowledged: set[str] = set()

    for _ in range(kills):
        before = len(corrections), len(acknowledged)
        async with process(backend, peer) as (server, stub):

            async def correcting(number: int, stub: Stub = stub) -> None:
                name, payload = uuid.uuid4().hex, os.urandom(20_000)
                await correct(stub, correction_id=name, payload=payload)
                corrections[name] = payload

            async def recording(number: int, stub: Stub = stub) -> None:
                batch = [fresh(payload=os.urandom(5_000) if n % 4 == 0 else b"") for n in range(20)]
                batches.append(batch)
                await record(stub, *batch)
                acknowledged.update(p.prediction_id for p in batch)

            workers = [asyncio.ensure_future(until_killed(work)) for work in (correcting, recording) * 3]
            await asyncio.sleep(1.0)
            await until(lambda old=before: len(corrections) > old[0] and len(acknowledged) > old[1])  # type: ignore[misc]
            server.send_signal(signal.SIGKILL)
            assert sum(await asyncio.gather(*workers)) > 0

    async with process(backend, peer) as (_, stub):
        cases = await error_cases(stub)
        assert corrections.keys() <= cases.keys()
        sequences = sorted(case.sequence for case in cases.values())
        assert sequences == list(range(1, len(sequences) + 1))
        for name, payload in corrections.items():
            assert cases[name].payload_digest == bytes_digest(payload)
        for digest in [cases[name].payload_digest for name in corrections][::7]:
            request = pb.GetPayloadRequest(pack=PACK, payload_digest=digest)
            assert bytes_digest((await stub.GetPayload(request)).payload) == digest
        recorded = rows(backend)
        assert acknowledged <= recorded
        # A batch is there whole or not at all, and the sums are those of the rows.
        assert all(
            {p.prediction_id for p in batch} & recorded in (set(), {p.prediction_id for p in batch})
            for batch in batches
        )
        assert await requests(stub) == len(recorded)
        # The spool sends again what was not acknowledged, and what was.
        for batch in batches:
            await record(stub, *batch)
        assert await requests(stub) == 20 * len(batches)


async def requests(stub: Stub) -> int:
    answer = await stub.CompareVersions(pb.CompareVersionsRequest(pack=PACK))
    return sum(figures.requests for figures in answer.versions)


def rows(backend: Backend) -> set[str]:
    engine = sa.create_engine(backend.database)
    with engine.connect() as connection:
        names = set(connection.scalars(sa.select(predictions_table.c.prediction_id)))
        counted = connection.scalar(
            sa.select(sa.func.sum(tallies.c.count)).where(tallies.c.kind == "code", tallies.c.unit == 60)
        )
    engine.dispose()
    assert (counted or 0) == len(names)
    return names


async def test_a_database_locked_by_another_process_is_waited_for_and_then_said(tmp_path: Path, peer: Peer) -> None:
    async def locked(seconds: float) -> asyncio.subprocess.Process:
        locker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOCKER, str(tmp_path / "tables.db"), str(seconds)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert locker.stdout is not None
        assert await locker.stdout.readline() == b"locked\n"
        return locker

    async with process(embedded(tmp_path), peer) as (_, stub):
        await correct(stub, payload=b"first")
        short = await locked(0.4)
        assert (await correct(stub, payload=b"second")).created
        await short.communicate()
        long = await locked(30)
        error = await refusal(correct(stub, payload=b"third", correction_id="third"))
        assert (error.code.name, error.reason) == ("UNAVAILABLE", "DATABASE_LOCKED")
        error = await refusal(record(stub, fresh()))
        assert error.reason == "DATABASE_LOCKED"
        # Reads go on meanwhile.
        assert len(await error_cases(stub)) == 2
        long.kill()
        await long.communicate()
        assert (await correct(stub, payload=b"third", correction_id="third")).created
        assert len(await error_cases(stub)) == 3


def small_disk(place: Path, megabytes: int) -> tuple[str, ...]:
    place.mkdir()
    user = [] if os.getuid() == 0 else ["--map-root-user"]
    return ("unshare", "--mount", *user, "sh", "-c", f"mount -t tmpfs -o size={megabytes}m none {place}")


async def test_a_full_store_costs_payloads_and_no_figures_and_refuses_corrections(tmp_path: Path, peer: Peer) -> None:
    async with process(embedded(tmp_path), peer, *small_disk(tmp_path / "store", 2)) as (_, stub):
        dropped = 0
        for number in range(8):
            batch = [fresh(prediction_id=f"p{number}", payload=os.urandom(400_000), answer_json="[1]")]
            answer = await record(stub, *batch)
            assert answer.recorded == 1
            dropped += answer.payloads_dropped
        assert 0 < dropped < 8
        assert await requests(stub) == 8
        error = await refusal(correct(stub, payload=os.urandom(500_000)))
        assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
        assert not await error_cases(stub)
        error = await refusal(correct(stub, prediction_id="p7"))
        assert error.reason == "PAYLOAD_NOT_KEPT"
        # Where the payload is kept, the truth needs no room in the store.
        assert (await correct(stub, prediction_id="p0")).created


async def test_a_full_database_refuses_clearly_and_has_nothing_half_done(tmp_path: Path, peer: Peer) -> None:
    folder = tmp_path / "database"
    small = Backend("small", f"sqlite:///{folder / 'tables.db'}", f"file://{tmp_path / 'store'}", tmp_path / "store")
    async with process(small, peer, *small_disk(folder, 2)) as (_, stub):
        taken, error = 0, None
        for number in range(40):
            try:
                await correct(stub, payload=b"%d" % number, truth_json=truth("x" * 100_000))
                taken += 1
            except grpc.aio.AioRpcError as refused:
                error = error_from_call(refused)
                break
        assert error is not None
        assert error.code.name == "RESOURCE_EXHAUSTED"
        assert "disk" in error.message
        cases = await error_cases(stub)
        assert [case.sequence for case in cases.values()] == list(range(1, taken + 1))
        again = await refusal(record(stub, fresh(payload=b"x", answer_json=truth("x" * 300_000))))
        assert again.code.name == "RESOURCE_EXHAUSTED"
        assert await requests(stub) == 0


async def test_erasure_survives_being_killed_before_training_was_told(backend: Backend, peer: Peer) -> None:
    secret = b"a secret of many words" * 300
    async with process(backend, peer) as (server, stub):
        await stub.RecordPredictions(
            pb.RecordPredictionsRequest(predictions=[fresh(prediction_id="p", payload=secret)])
        )
        await correct(stub, prediction_id="p", truth_json=truth("secret truth"))
        await peer.stop()
        answer = await stub.ErasePrediction(pb.ErasePredictionRequest(pack=PACK, prediction_id="p"))
        assert answer.pending_in_training
        server.send_signal(signal.SIGKILL)
        await server.wait()
    assert not [path for path in backend.objects.rglob("*") if path.is_file()]
    await peer.start()
    async with process(backend, peer):
        for _ in range(100):
            if peer.erased:
                break
            await asyncio.sleep(0.1)
    assert peer.erased == [bytes_digest(secret)]


async def test_a_postgresql_that_crashes_under_load_loses_nothing_acknowledged(tmp_path: Path, peer: Peer) -> None:
    with running_postgres() as postgres:
        backend = replace(embedded(tmp_path), database=postgres.emptied("monitoring"))
        kept: set[str] = set()
        reasons: set[str] = set()
        ended = asyncio.Event()

        async with process(backend, peer) as (_, stub):

            async def correcting() -> None:
                while not ended.is_set():
                    name = uuid.uuid4().hex
                    try:
                        await correct(stub, correction_id=name, payload=name.encode())
                    except grpc.aio.AioRpcError as error:
                        reasons.add(error_from_call(error).reason)
                        await asyncio.sleep(0.05)
                    else:
                        kept.add(name)

            workers = [asyncio.ensure_future(correcting()) for _ in range(4)]
            for crashes in range(3):
                enough = len(kept) + 50
                await until(lambda enough=enough: len(kept) >= enough)  # type: ignore[misc]
                if crashes < 2:
                    await asyncio.to_thread(postgres.stop, signal.SIGQUIT)
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(postgres.start)
            ended.set()
            await asyncio.gather(*workers)
            cases = await error_cases(stub)
        assert kept <= cases.keys()
        assert [case.sequence for case in cases.values()] == list(range(1, len(cases) + 1))
        assert reasons == {"DATABASE_UNREACHABLE"}


@pytest.mark.slow
async def test_s3_that_is_away_refuses_corrections_and_keeps_figures(
    tmp_path: Path, peer: Peer, object_server: ObjectServer
) -> None:
    with object_server.bucket() as (url, objects):
        backend = replace(embedded(tmp_path), store=url, objects=objects)
        async with process(backend, peer) as (_, stub):
            assert (await correct(stub, payload=b"first")).created
            object_server.stop()
            try:
                error = await refusal(correct(stub, payload=b"second"))
                assert (error.code.name, error.reason) == ("UNAVAILABLE", "STORE_UNREACHABLE")
                # A batch with payloads is sent again later, by the spool; one without needs no store.
                assert (await refusal(record(stub, fresh(payload=b"page")))).reason == "STORE_UNREACHABLE"
                assert (await record(stub, fresh())).recorded == 1
            finally:
                object_server.start()
            assert len(await error_cases(stub)) == 1
            assert (await correct(stub, payload=b"second")).created
            assert (await record(stub, fresh(payload=b"page"))).recorded == 1
            assert await requests(stub) == 2
