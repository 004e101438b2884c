"""Clients that call an echo Pack in a loop and note every answer, for tests of what happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

import grpc
from packline.echo.v1.echo_pb2 import EchoRequest
from packline.echo.v1.echo_pb2_grpc import EchoServiceStub
from packline_core.errors import PacklineError
from packline_core.rpc import call_metadata, error_from_call, open_channel


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: when it was sent and answered (`time.monotonic`), by which version, and what it added to 1."""

    sent: float
    answered: float
    version: str
    offset: float


@dataclass
class EchoLoad:
    """Calls `pack` from `clients` threads, each over a connection of its own, until the block is left.

    Attributes:
        answers: Of all clients.
        failures: When each failed call was sent, and how it failed.
    """

    address: str
    pack: str
    clients: int = 8
    key: str = ""
    values: int = 1
    retries: bool = False
    answers: list[Answer] = field(default_factory=list)
    failures: list[tuple[float, PacklineError]] = field(default_factory=list)

    def __enter__(self) -> EchoLoad:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def p99(self, since: float = 0.0) -> float:
        """The latency in seconds that one call in a hundred exceeds, of calls sent after `since`."""
        latencies = sorted(answer.answered - answer.sent for answer in self.answers if answer.sent >= since)
        return latencies[int(len(latencies) * 0.99)] if latencies else float("nan")

    def versions(self) -> Sequence[str]:
        """The versions that answered."""
        return sorted({answer.version for answer in self.answers})

    def _call(self) -> None:
        request = EchoRequest(pack=self.pack, values=[1.0] * self.values)
        metadata = call_metadata(self.pack, self.key)
        with open_channel(self.address, retries=self.retries) as channel:
            stub = EchoServiceStub(channel)
            while not self._ended.is_set():
                sent = time.monotonic()
                try:
                    response = stub.Echo(request, metadata=metadata, timeout=30)
                except grpc.RpcError as error:
                    self.failures.append((sent, error_from_call(error)))
                    time.sleep(0.02)
                    continue
                offset = response.values[0] - 1.0
                self.answers.append(Answer(sent, time.monotonic(), response.model_version, offset))
