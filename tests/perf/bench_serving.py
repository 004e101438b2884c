"""What serving costs: calls per second through the fleet as a share of a bare grpc.aio server, side by side in one run.

`python tests/perf/bench_serving.py [--json FILE] [--seconds S] [--rounds N] [--only echo]`. Both servers run all the
while and are loaded in turn; the share is the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from load import Generator, Load, Measured, bare_server
from packline.echo.v1.echo_pb2 import EchoRequest
from packline.ocr.v1.ocr_pb2 import RecognizeDocumentRequest
from packline_core.bundle import Bundle, open_bundle
from packline_core.fleet.schema import PackApplication
from packline_core.serving.config import Limits, Recording, ServingConfig
from packline_core.task import get_task
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, echo_pack, running_fleet, version_of
from packline_echo.graphs import WIDTH

PAGE = min((Path(__file__).parents[2] / "examples" / "ocr" / "documents" / "holdout" / "img").glob("*.jpg"))
CONNECTIONS = (1, 8, 32)
HEAD = "case     conns   share   aim      bare/s  p50 ms  p99 ms     fleet/s  p50 ms  p99 ms"


@dataclass(frozen=True)
class Case:
    """One model: what is sent to it, and the share that is aimed at with 8 connections."""

    name: str
    aim: float
    task: str
    bundle: Bundle
    pack: PackApplication
    method: str
    request: bytes
    threads: int = 1
    times: float = 1.0  # as long as the others, so that a second holds many calls


def cases(folder: Path) -> list[Case]:
    """The cases that this installation can measure."""
    echo = write_bundle(folder / "echo")
    chain = write_bundle(folder / "chain", depth=400)
    method = "/packline.echo.v1.EchoService/Echo"
    small = EchoRequest(pack="echo", values=[float(n) for n in range(16)])
    large = EchoRequest(pack="chain", values=[n / WIDTH for n in range(WIDTH)])
    page = folder / "page"
    page.mkdir()
    get_task("ocr").build_base("fast", page)
    ocr = open_bundle(page)
    serving = ServingConfig("page", "ocr", version_of(ocr), recording=Recording(enabled=False))
    document = RecognizeDocumentRequest(pack="page", document=PAGE.read_bytes()).SerializeToString()
    recognize = "/packline.ocr.v1.OcrService/RecognizeDocument"
    limits = Limits(threads=1)
    return [
        Case("echo", 0.45, "echo", echo, echo_pack("echo", echo, limits=limits), method, small.SerializeToString()),
        Case("chain", 0.7, "echo", chain, echo_pack("chain", chain, limits=limits), method, large.SerializeToString()),
        Case("page", 0.9, "ocr", ocr, PackApplication(serving), recognize, document, threads=0, times=4.0),
    ]


def measure(
    case: Case, fleet: RunningFleet, generator: Generator, rounds: int, seconds: float
) -> Iterator[dict[str, object]]:
    """Loads both servers in turn at each number of connections."""
    arguments = (case.task, str(case.bundle.folder), "--threads", str(case.threads))
    with bare_server("bare.py", *arguments) as bare, tempfile.NamedTemporaryFile() as request:
        request.write(case.request)
        request.flush()
        for connections in CONNECTIONS:
            load = Load(bare, case.name, case.method, request.name, connections, seconds * case.times)
            pairs: list[tuple[Measured, Measured]] = []
            for _ in range(rounds):
                there = generator.run(load)
                pairs.append((there, generator.run(replace(load, address=fleet.settings.address))))
            yield {
                "case": case.name,
                "connections": connections,
                "aim": case.aim,
                "share": round(statistics.median(ours.per_second / there.per_second for there, ours in pairs), 3),
                "failed": sum(sum(ours.failed.values()) for _, ours in pairs),
                "bare": summary([there for there, _ in pairs]),
                "packline": summary([ours for _, ours in pairs]),
            }


def summary(measured: list[Measured]) -> dict[str, float]:
    """Medians over the rounds; latencies in milliseconds."""
    return {
        "per_second": round(statistics.median(one.per_second for one in measured), 1),
        "p50_ms": round(1000 * statistics.median(one.p50 for one in measured), 2),
        "p99_ms": round(1000 * statistics.median(one.p99 for one in measured), 2),
    }


def main() -> None:
    """Measures, prints a table, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        chosen = [case for case in cases(Path(folder)) if not options.only or case.name in options.only]
        with running_fleet(Path(folder) / "home") as fleet:
            fleet.put(*(case.pack for case in chosen))
            generator = Generator()
            time.sleep(2)
            print(HEAD)
            for case in chosen:
                for row in measure(case, fleet, generator, options.rounds, options.seconds):
                    rows.append(row)
                    print(line(row), flush=True)
            generator.close()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf8")


def line(row: dict[str, object]) -> str:
    """A row of the table."""
    text = f"{row['case']:8}{row['connections']:>6}{row['share']:>8}{row['aim']:>6}"
    for who in ("bare", "packline"):
        figures = row[who]
        assert isinstance(figures, dict)
        text += f"   {figures['per_second']:>9}{figures['p50_ms']:>8}{figures['p99_ms']:>8}"
    return text + (f"   {row['failed']} FAILED" if row["failed"] else "")


if __name__ == "__main__":
    main()
