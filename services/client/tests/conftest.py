"""A peer on a real grpc.aio server, under the rpc layer that replicas use."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from packline.ocr.v1 import ocr_pb2, ocr_pb2_grpc
from packline_client import Client
from packline_client.cli import app
from packline_core.errors import InvalidInput, Overloaded, Unavailable
from packline_core.rpc import MAX_MESSAGE_BYTES, Call, rpc
from typer.testing import CliRunner


class Peer(ocr_pb2_grpc.OcrServiceServicer):
    """Answers each document with its own words, or fails as it is told to: `busy 2`, `away 1`, `bad`, `slow`.

    Attributes:
        calls: The calls that reached it.
        sizes: Bytes of each piece of the last upload.
        firsts: The first message of each upload.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.sizes: list[int] = []
        self.firsts: list[Any] = []
        self._failed: dict[bytes, int] = {}

    async def _read(self, pack: str, document: bytes, call: Call) -> ocr_pb2.RecognizeDocumentResponse:
        self.calls.append(call)
        word, _, times = document[:40].decode("latin1").partition(" ")
        if word in {"busy", "full", "away"} and self._failed.setdefault(document, 0) < int(times):
            self._failed[document] += 1
            if word != "away":
                raise Overloaded("too many calls", retry_after=0.05 if word == "busy" else 60.0)
            raise Unavailable("not there")
        if word == "bad":
            raise InvalidInput("the document is no image", reason="NOT_AN_IMAGE", field="document")
        if word == "slow":
            await asyncio.sleep(30)
        line = ocr_pb2.Line(text=f"{pack} {document[:40].decode('latin1')}", confidence=0.5, order=0)
        line.quad.points.extend(ocr_pb2.Point(x=x, y=y) for x, y in ((1, 2), (3, 2), (3, 4), (1, 4)))
        page = ocr_pb2.Page(number=1, width=10, height=20, lines=[line])
        return ocr_pb2.RecognizeDocumentResponse(prediction_id="p1", model_version="v1", pages=[page], page_count=1)

    @rpc
    async def RecognizeDocument(self, request: Any, call: Call) -> Any:
        return await self._read(request.pack, request.document, call)

    @rpc
    async def UploadDocument(self, request: AsyncIterator[Any], call: Call) -> Any:
        parts = [part async for part in request]
        self.firsts.append(parts[0])
        self.sizes = [len(part.chunk) for part in parts]
        document = await self._read(parts[0].pack, b"".join(part.chunk for part in parts), call)
        return ocr_pb2.UploadDocumentResponse(document=document)

    @rpc
    async def RecognizePages(self, request: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        async for one in request:
            try:
                answer = {"document": await self._read(one.pack, one.document, call)}
            except InvalidInput as error:
                failed = ocr_pb2.PageError(code=int(error.code), reason=error.reason, message=error.message)
                answer = {"error": failed}
            yield ocr_pb2.RecognizePagesResponse(correlation_id=one.correlation_id, **answer)


@contextmanager
def served(add: Callable[[grpc.aio.Server], None], port: int = 0) -> Iterator[str]:
    """Runs a grpc.aio server in a thread of its own; gives its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
        add(server)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
        return server, bound

    server, bound = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(0), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def address(peer: Peer) -> Iterator[str]:
    with served(lambda server: ocr_pb2_grpc.add_OcrServiceServicer_to_server(peer, server)) as where:
        yield where


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=20) as made:
        yield made


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str


class Packline:
    """The `packline` command, with a home of its own: in this process, or as a user starts it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {**os.environ, "PACKLINE_HOME": str(home), "PACKLINE_ADDRESS": "127.0.0.1:1"}

    def __call__(self, *arguments: object, stdin: str = "") -> Ran:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=self.environment)
        return Ran(done.exit_code, done.stdout, done.stderr)

    def process(self, *arguments: object) -> Ran:
        command = [sys.executable, "-m", "packline_client", *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def packline(tmp_path: Path) -> Packline:
    return Packline(tmp_path / "home")
