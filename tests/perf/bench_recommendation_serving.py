"""What serving recommendations costs, beside a bare grpc.aio + onnxruntime server on the same model in the same run;
how it grows with the catalogue; how fast events come in.

`python tests/perf/bench_recommendation_serving.py [--json FILE] [--seconds S] [--rounds N] [--items N …]`. Bundles are
synthetic: items x 128 dimensions, 1000 known users. Both servers run all the while and are loaded in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
import psutil
from load import Generator, Load, Measured, bare_server
from packline.recommendation.v1 import recommendation_pb2 as pb
from packline.recommendation.v1.recommendation_pb2_grpc import RecommendationServiceStub
from packline_core.bundle import Bundle
from packline_core.fleet.ready import wait_served
from packline_core.fleet.schema import PackApplication
from packline_core.rpc import call_metadata
from packline_core.serving.config import Limits, Recording, ServingConfig
from packline_echo.fleet import RunningFleet, running_fleet, version_of
from packline_recommendation.layout import KnownUser

# Run as a script, it finds what tests share from the repository's root.
sys.path.insert(0, str(Path(__file__).parents[2]))

from services.recommendation.tests.bundles import NOW, write_bundle

WIDTH = 128
USERS = 1000
HISTORY = 30
MANY = 64
CONNECTIONS = 8
READY_SECONDS = 900.0  # a million items are a gigabyte to copy, to check and to try
SERVICE = "/packline.recommendation.v1.RecommendationService/"
HEAD = (
    "items       call             share   aim      bare/s  p50 ms  p99 ms     fleet/s  p50 ms  p99 ms   replica MiB"
    "   ready s"
)


@dataclass(frozen=True)
class Case:
    """One call to one catalogue."""

    pack: str
    items: int
    bundle: Bundle
    method: str
    request: bytes
    aim: float


def bundle_of(folder: Path, count: int) -> Bundle:
    """A synthetic bundle of `count` items."""
    random = np.random.default_rng(0)
    vectors = (random.standard_normal((count, WIDTH)) / WIDTH**0.5).astype(np.float32)
    users = []
    for number in range(USERS):
        taken = random.integers(0, count, HISTORY).tolist()
        users.append(
            KnownUser(f"u{number}", taken, [NOW - 1000 * HISTORY + n for n in range(HISTORY)], [1.0] * HISTORY)
        )
    return write_bundle(folder, vectors=vectors, users=users)


def cases(folder: Path, counts: list[int]) -> Iterator[Case]:
    """What is measured."""
    for count in counts:
        pack = f"items-{count}"
        bundle = bundle_of(folder / pack, count)
        one = pb.RecommendRequest(pack=pack, user="u7", k=10)
        many = [pb.RecommendRequest(user=f"u{number}", k=10) for number in range(MANY)]
        yield Case(pack, count, bundle, "Recommend", one.SerializeToString(), 0.7)
        request = pb.RecommendManyRequest(pack=pack, requests=many).SerializeToString()
        yield Case(pack, count, bundle, "RecommendMany", request, 0.9)


def measure(
    case: Case, bare: str, fleet: RunningFleet, generator: Generator, ready: float, options: argparse.Namespace
) -> dict[str, object]:
    """Loads both servers in turn; `ready` is how many seconds the replica took to come up."""
    with tempfile.NamedTemporaryFile() as request:
        request.write(case.request)
        request.flush()
        # A call of 64 questions to a million items takes seconds.
        seconds = options.seconds * max(1.0, case.items / 200_000)
        load = Load(bare, case.pack, SERVICE + case.method, request.name, CONNECTIONS, seconds)
        ours = replace(load, address=fleet.settings.address)
        for cold in (load, ours):
            generator.run(cold)
        pairs = []
        for _ in range(options.rounds):
            there = generator.run(load)
            pairs.append((there, generator.run(ours)))
    if case.method == "RecommendMany":
        check_all_answered(case, fleet)
    (replica,) = fleet.api.applications()[case.pack].running
    memory = psutil.Process(int(replica.pid or 0)).memory_full_info().pss
    return {
        "items": case.items,
        "call": case.method,
        "aim": case.aim,
        "share": round(statistics.median(here.per_second / there.per_second for there, here in pairs), 3),
        "failed": sum(sum(here.failed.values()) for _, here in pairs),
        "bare": summary([there for there, _ in pairs]),
        "packline": summary([here for _, here in pairs]),
        "replica_mib": memory >> 20,
        "ready_seconds": round(ready, 1),
    }


def check_all_answered(case: Case, fleet: RunningFleet) -> None:
    """A question that is refused within a call for many does not fail the call, and would count as an answer."""
    with grpc.insecure_channel(fleet.settings.address) as channel:
        stub, request = RecommendationServiceStub(channel), pb.RecommendManyRequest.FromString(case.request)
        calls = [
            stub.RecommendMany.future(request, metadata=call_metadata(case.pack), timeout=120)
            for _ in range(CONNECTIONS)
        ]
        refused = [one.error for call in calls for one in call.result().outcomes if one.HasField("error")]
    if refused:
        raise RuntimeError(f"{len(refused)} questions were refused: {refused[0]}")


def summary(measured: list[Measured]) -> dict[str, float]:
    """Medians over the rounds; latencies in milliseconds."""
    return {
        "per_second": round(statistics.median(one.per_second for one in measured), 1),
        "p50_ms": round(1000 * statistics.median(one.p50 for one in measured), 2),
        "p99_ms": round(1000 * statistics.median(one.p99 for one in measured), 2),
    }


def ingestion(fleet: RunningFleet, pack: str, seconds: float) -> dict[str, float]:
    """Events taken in per second, durable each, over 8 connections: in calls of one and of 100, and in messages of 100
    of a stream.
    """
    found = {}
    for name, size in (("calls_of_1", 1), ("calls_of_100", 100), ("stream_of_100s", 100)):
        counts: list[int] = []

        def send(sender: int, name: str = name, size: int = size, counts: list[int] = counts) -> None:
            until = time.monotonic() + seconds

            def messages() -> Iterator[list[pb.Event]]:
                for number in itertools.count():
                    if time.monotonic() > until:
                        return
                    call = f"{name}-{sender}-{number}"
                    yield [pb.Event(event_id=f"{call}-{n}", user=f"w{n}", item=f"i{n}") for n in range(size)]

            with grpc.insecure_channel(fleet.settings.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                stub, metadata = RecommendationServiceStub(channel), call_metadata(pack)
                if name.startswith("stream"):
                    sent = (pb.StreamEventsRequest(pack=pack, events=events) for events in messages())
                    answers = stub.StreamEvents(sent, metadata=metadata, timeout=60 + seconds)
                    counts.append(sum(answer.recorded.recorded for answer in answers))
                    return
                requests = (pb.RecordEventsRequest(pack=pack, events=events) for events in messages())
                done = (stub.RecordEvents(request, metadata=metadata, timeout=60) for request in requests)
                counts.append(sum(answer.recorded for answer in done))

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(CONNECTIONS)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found[name] = round(sum(counts) / (time.monotonic() - started), 1)
    return found


def main() -> None:
    """Measures, prints a table, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--items", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder, running_fleet(Path(folder) / "home") as fleet:
        generator = Generator()
        print(HEAD)
        told: dict[str, float] = {}
        ready = 0.0
        for case in cases(Path(folder), options.items):
            if case.pack not in fleet.packs:
                version = version_of(case.bundle)
                serving = ServingConfig(
                    case.pack, "recommendation", version, recording=Recording(enabled=False), limits=Limits(threads=1)
                )
                started = time.monotonic()
                fleet.put(PackApplication(serving), wait=False)
                wait_served(fleet.settings, case.pack, timeout=READY_SECONDS)
                ready = time.monotonic() - started
                time.sleep(2)
            with bare_server("bare_recommendation.py", str(case.bundle.folder)) as bare:
                row = measure(case, bare, fleet, generator, ready, options)
            rows.append(row)
            print(line(row), flush=True)
            if case.method == "RecommendMany":
                if not told:
                    told = ingestion(fleet, case.pack, options.seconds)
                    print(f"events taken in per second: {told}", flush=True)
                fleet.remove(case.pack)
        generator.close()
    if options.json:
        options.json.write_text(json.dumps({"serving": rows, "events": told}, indent=1), encoding="utf8")


def line(row: dict[str, object]) -> str:
    """A row of the table."""
    text = f"{row['items']:<12}{row['call']:<14}{row['share']:>8}{row['aim']:>6}"
    for who in ("bare", "packline"):
        figures = row[who]
        assert isinstance(figures, dict)
        text += f"   {figures['per_second']:>9}{figures['p50_ms']:>8}{figures['p99_ms']:>8}"
    text += f"{row['replica_mib']:>14}{row['ready_seconds']:>10}"
    return text + (f"   {row['failed']} FAILED" if row["failed"] else "")


if __name__ == "__main__":
    main()
