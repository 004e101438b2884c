"""A load generator in a process of its own: closed loops over gRPC connections, driven by JSON lines on standard input.

Each connection has one call in flight. Requests and answers stay bytes, so that little of the machine goes to it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import uvloop
from packline_core.fleet.ports import choose_ports
from packline_core.rpc import call_metadata, channel_options


@contextmanager
def bare_server(script: str, *arguments: str) -> Iterator[str]:
    """The address of a yardstick: a script of this folder, which listens on the port that `--port` names."""
    port = choose_ports(0, 0).grpc
    command = [sys.executable, str(Path(__file__).with_name(script)), *arguments, "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(120)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Load:
    """What is to be sent: `seconds` of calls over `connections`, after a tenth of that to warm up."""

    address: str
    application: str
    method: str
    request_file: str
    connections: int
    seconds: float


@dataclass(frozen=True)
class Measured:
    """Calls answered per second, and latencies in seconds; `failed` by status."""

    per_second: float
    p50: float
    p99: float
    calls: int
    failed: dict[str, int]


class Generator:
    """The process, from the outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), "run"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, load: Load) -> Measured:
        """Sends a load and waits for the figures."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(load.__dict__) + "\n")
        self._process.stdin.flush()
        return Measured(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


async def _measure(load: Load, request: bytes) -> Measured:
    metadata = call_metadata(load.application)
    latencies: list[float] = []
    failed: dict[str, int] = {}
    start = time.perf_counter() + 0.1 * load.seconds
    end = start + load.seconds
    options = [*channel_options(load.address, retries=False), ("grpc.use_local_subchannel_pool", 1)]

    async def connection() -> None:
        async with grpc.aio.insecure_channel(load.address, options) as channel:
            call: Any = channel.unary_unary(load.method)
            while (sent := time.perf_counter()) < end:
                try:
                    await call(request, metadata=metadata, timeout=60)
                except grpc.aio.AioRpcError as error:
                    failed[error.code().name] = failed.get(error.code().name, 0) + 1
                    await asyncio.sleep(0.01)
                    continue
                now = time.perf_counter()
                if sent >= start and now <= end:
                    latencies.append(now - sent)

    await asyncio.gather(*(connection() for _ in range(load.connections)))
    ranked = sorted(latencies) or [float("nan")]
    return Measured(
        len(latencies) / load.seconds,
        ranked[len(ranked) // 2],
        ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))],
        len(latencies),
        failed,
    )


def main() -> None:
    """The process."""
    for line in sys.stdin:
        load = Load(**json.loads(line))
        measured = uvloop.run(_measure(load, Path(load.request_file).read_bytes()))
        sys.stdout.write(json.dumps(measured.__dict__) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
