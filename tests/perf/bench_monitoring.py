"""Figures of monitoring over gRPC on one machine: `python tests/perf/bench_monitoring.py [--json FILE] [--rows N]`.

The service is a process of its own. One JSON object is printed: predictions recorded per second without and with
payloads, what one costs the service in CPU, corrections per second, and the latency of CompareVersions over a Pack with
N predictions spread over seven days.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psutil
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline_core import db
from packline_core.rpc import open_aio_channel
from packline_monitoring import predictions as log
from packline_monitoring.domain import Prediction
from packline_monitoring.tables import open_database

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from services.monitoring.tests.harness import PACK, Peer, truth  # noqa: E402 - the root is on no path
from tests.backends.fixtures import embedded  # noqa: E402

BATCH = 500
PAYLOAD = 200_000


def messages(count: int, at: datetime, payload: int = 0) -> Iterator[pb.Prediction]:
    """Predictions of two versions with what OCR records of each."""
    for index in range(count):
        message = pb.Prediction(
            prediction_id=uuid.uuid4().hex,
            pack=PACK,
            model_version=f"v{1 + index % 2}",
            signals={"confidence": random.random(), "lines": index % 50},
        )
        if payload:
            message.payload = os.urandom(payload)
            message.answer_json = json.dumps([{"transcription": "x" * 2000}])
        message.at.FromDatetime(at)
        message.latency.FromNanoseconds(int(random.lognormvariate(-2, 0.5) * 1e9))
        yield message


async def per_second(calls: list[Callable[[], Awaitable[object]]], together: int, each: int = 1) -> float:
    """How many items per second, with so many calls at once and `each` items a call."""
    waiting = iter(calls)

    async def worker() -> None:
        for call in waiting:
            await call()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(together)))
    return len(calls) * each / (time.perf_counter() - began)


@dataclass
class Target:
    """The service that is measured: its client and its process."""

    stub: MonitoringServiceStub
    process: psutil.Process

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        times = self.process.cpu_times()
        return times.user + times.system


async def recorded(target: Target, batches: int, size: int, payload: int) -> dict[str, float]:
    """Predictions recorded by four replicas at once."""
    now = datetime.now(UTC)
    requests = [pb.RecordPredictionsRequest(predictions=list(messages(size, now, payload))) for _ in range(batches)]
    calls = [partial(target.stub.RecordPredictions, request) for request in requests]
    before = target.cpu()
    speed = await per_second(calls, 4, size)
    spent = target.cpu() - before
    return {"per_s": round(speed), "cpu_us_each": round(spent / (batches * size) * 1e6, 1)}


async def corrected(target: Target, count: int, together: int) -> int:
    """Corrections per second, each with a payload of its own."""
    requests = [
        pb.CorrectRequest(
            pack=PACK, correction_id=uuid.uuid4().hex, truth_json=truth("x" * 500), payload=os.urandom(PAYLOAD)
        )
        for _ in range(count)
    ]
    return round(await per_second([partial(target.stub.Correct, request) for request in requests], together))


def fill(folder: Path, rows: int, days: int) -> float:
    """Writes a Pack's past as RecordPredictions would have; returns rows per second."""
    engine = open_database(embedded(folder).database)
    now, began = datetime.now(UTC), time.perf_counter()
    for start in range(0, rows, 10_000):
        batch = [
            Prediction(
                prediction_id=uuid.uuid4().hex,
                pack=PACK,
                model_version=f"v{1 + index % 2}",
                at=now - timedelta(days=days) * ((index + 0.5) / rows),
                latency=random.lognormvariate(-2, 0.5),
                code=0 if index % 100 else 13,
                signals={"confidence": random.random(), "lines": float(index % 50)},
            )
            for index in range(start, min(start + 10_000, rows))
        ]
        with db.write(engine) as connection:
            log.insert(connection, [(prediction, None) for prediction in batch], {})
    engine.dispose()
    return rows / (time.perf_counter() - began)


async def compared(target: Target, window: timedelta) -> dict[str, float]:
    """Milliseconds of CompareVersions over a window."""
    request = pb.CompareVersionsRequest(pack=PACK)
    request.since.FromDatetime(datetime.now(UTC) - window)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        await target.stub.CompareVersions(request)
        taken.append((time.perf_counter() - began) * 1000)
    return {"p50_ms": round(statistics.median(taken), 2), "max_ms": round(max(taken), 2)}


def megabytes(folder: Path) -> int:
    """What the database takes on disk."""
    return round(sum(path.stat().st_size for path in folder.glob("tables.db*")) / 1e6)


async def measure(rows: int) -> dict[str, object]:
    """All figures, of one service in one run."""
    random.seed(7)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = Peer()
        await peer.start()
        stack.push_async_callback(peer.stop)
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.monitoring.tests.server", embedded(folder).database),
            *(embedded(folder).store, str(peer.port)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        stack.callback(server.kill)
        assert server.stdout is not None
        channel = await stack.enter_async_context(open_aio_channel(f"127.0.0.1:{int(await server.stdout.readline())}"))
        target = Target(MonitoringServiceStub(channel), psutil.Process(server.pid))
        figures: dict[str, object] = {
            "recorded": await recorded(target, 60, BATCH, 0),
            "recorded_200kB": await recorded(target, 20, 50, PAYLOAD),
            "corrected_per_s_1_client": await corrected(target, 100, 1),
            "corrected_per_s_16_clients": await corrected(target, 400, 16),
            "rows": rows,
            "filled_per_s": round(await asyncio.to_thread(fill, folder, rows, 7)),
        }
        windows = {"10 min": timedelta(minutes=10), "1 day": timedelta(days=1), "6 days": timedelta(days=6)}
        windows["8 days"] = timedelta(days=8)
        figures["compare"] = {name: await compared(target, window) for name, window in windows.items()}
        figures["database_MB"] = megabytes(folder)
        figures["service_MB"] = round(target.process.memory_info().rss / 1e6)
        return figures


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    text = json.dumps(asyncio.run(measure(options.rows)), indent=1)
    if options.json:
        options.json.write_text(text, encoding="utf8")
    print(text)


if __name__ == "__main__":
    main()
