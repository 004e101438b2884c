"""A whole monitoring service on real files, its training peer behind real gRPC, and a clock that tests move."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import sqlalchemy as sa
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline.training.v1 import training_pb2, training_pb2_grpc
from packline_core import db
from packline_core.bundle import bytes_digest
from packline_core.channels import channel_options
from packline_core.errors import InvalidInput, NotFound
from packline_core.rpc import Call, rpc
from packline_core.store import ObjectStore
from packline_core.task import Count, Example, Task
from packline_monitoring.config import Limits
from packline_monitoring.engine import Monitoring
from packline_monitoring.meter import PrometheusMeter
from packline_monitoring.servicer import MonitoringServicer
from packline_monitoring.tables import open_database
from packline_monitoring.training import GrpcTraining
from prometheus_client import CollectorRegistry

from tests.backends.fixtures import Backend

NOW = datetime(2026, 3, 2, 10, 30, 15, 250_000, UTC)
PACK = "receipts"


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        self.now += timedelta(**amount)


class Words:
    """A task whose truth is a JSON list of {"transcription": text}; all of it that monitoring needs."""

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        try:
            truth = json.loads(truth_json)
        except ValueError as error:
            raise InvalidInput(f"truth_json: not JSON: {error}") from error
        if not isinstance(truth, list):
            raise InvalidInput("truth_json: not a list", field="truth_json")
        for index, line in enumerate(truth):
            if not isinstance(line, dict) or not isinstance(line.get("transcription"), str):
                name = f"truth_json[{index}].transcription"
                raise InvalidInput(f"{name}: not a text", field=name)
        key = bytes_digest(payload) + (f"#{page}" if page > 1 else "")
        return Example(key, payload, truth_json, key, source)


class Shop:
    """A task whose answers are lists of items, whose truths are lists of items taken, whose payload is the user."""

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        return Example(bytes_digest(payload), payload, truth_json, payload.decode(), source)

    def is_hit(self, answer_json: str, truths_json: Sequence[str]) -> bool:
        return any(item in truth for item in json.loads(answer_json) for truth in map(json.loads, truths_json))

    def off_policy(self, shown_json: str, other_json: str, truths_json: Sequence[str]) -> tuple[Count, Count]:
        taken = [item for truth in truths_json for item in json.loads(truth)]
        shown, other = (
            sum(1 / (1 + items.index(item)) for item in taken if item in items)
            for items in map(json.loads, (shown_json, other_json))
        )
        return Count(shown, 1.0), Count(other, 1.0)


def find_task(name: str) -> Task:
    if name not in {"words", "shop"}:
        raise NotFound(f"no task {name!r} is installed", reason="UNKNOWN_TASK")
    return cast(Task, Words() if name == "words" else Shop())


@dataclass
class Peer(training_pb2_grpc.RegistryServiceServicer, training_pb2_grpc.DatasetServiceServicer):
    """The training service's two methods that monitoring calls, with a memory, on a port of its own."""

    manifests: dict[str, Any] = field(default_factory=lambda: {PACK: {"task": "words"}})
    erased: list[str] = field(default_factory=list)
    port: int = 0
    server: grpc.aio.Server | None = None

    @rpc
    async def GetPack(self, request: training_pb2.GetPackRequest, call: Call) -> training_pb2.GetPackResponse:
        assert call.application == "packline-training"
        if request.pack not in self.manifests:
            raise NotFound(f"no Pack {request.pack}", reason="UNKNOWN_PACK")
        manifest = {"kind": "Pack", "metadata": {"name": request.pack}, "spec": self.manifests[request.pack]}
        return training_pb2.GetPackResponse(manifest_json=json.dumps(manifest))

    @rpc
    async def EraseExamples(
        self, request: training_pb2.EraseExamplesRequest, call: Call
    ) -> training_pb2.EraseExamplesResponse:
        self.erased += request.keys
        return training_pb2.EraseExamplesResponse(erased=len(request.keys))

    async def start(self) -> None:
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        training_pb2_grpc.add_RegistryServiceServicer_to_server(self, self.server)
        training_pb2_grpc.add_DatasetServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(None)
            self.server = None


@dataclass
class Service:
    """A running monitoring service."""

    monitoring: Monitoring
    stub: monitoring_pb2_grpc.MonitoringServiceStub
    peer: Peer
    clock: Clock
    registry: CollectorRegistry
    backend: Backend
    engine: sa.Engine
    port: int

    async def record(self, *predictions: pb.Prediction, **dropped: int) -> pb.RecordPredictionsResponse:
        request = pb.RecordPredictionsRequest(predictions=predictions, dropped=dropped)
        return cast(pb.RecordPredictionsResponse, await self.stub.RecordPredictions(request))

    async def correct(self, **fields: Any) -> pb.CorrectResponse:
        given = {"pack": PACK, "correction_id": uuid.uuid4().hex, "truth_json": truth("right"), **fields}
        return cast(pb.CorrectResponse, await self.stub.Correct(pb.CorrectRequest(**given)))

    async def compare(self, since: datetime | None = None, *versions: str) -> pb.CompareVersionsResponse:
        request = pb.CompareVersionsRequest(pack=PACK, versions=versions)
        if since:
            request.since.FromDatetime(since)
        return cast(pb.CompareVersionsResponse, await self.stub.CompareVersions(request))

    async def cases(self, after: int = 0, limit: int = 0) -> list[pb.ErrorCase]:
        request = pb.ListErrorCasesRequest(pack=PACK, after_sequence=after, limit=limit)
        return list((await self.stub.ListErrorCases(request)).cases)

    async def payload(self, prediction_id: str = "", digest: str = "") -> bytes:
        request = pb.GetPayloadRequest(pack=PACK, prediction_id=prediction_id, payload_digest=digest)
        return bytes((await self.stub.GetPayload(request)).payload)

    def objects(self) -> list[Path]:
        """The files that hold what is in the store."""
        return [path for path in self.backend.objects.rglob("*") if path.is_file()]


@contextmanager
def holding(engine: sa.Engine) -> Iterator[None]:
    """Holds the database as another writer would."""
    with db.write(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE monitoring_packs IN EXCLUSIVE MODE"))
        yield


def truth(text: str) -> str:
    return json.dumps([{"transcription": text}])


def prediction(at: datetime = NOW, **fields: Any) -> pb.Prediction:
    latency = fields.pop("seconds", 0.1)
    given = {"prediction_id": uuid.uuid4().hex, "pack": PACK, "model_version": "v1", **fields}
    message = pb.Prediction(**given)
    message.at.FromDatetime(at)
    message.latency.FromNanoseconds(round(latency * 1e9))
    return message


@asynccontextmanager
async def serving(backend: Backend, clock: Clock, peer: Peer, limits: Limits) -> AsyncIterator[Service]:
    engine = open_database(backend.database, busy_timeout=1.0)
    registry = CollectorRegistry()
    monitoring = Monitoring(
        database=engine,
        store=ObjectStore(backend.store),
        training=GrpcTraining(f"127.0.0.1:{peer.port}"),
        meter=PrometheusMeter(registry),
        clock=clock,
        tasks=find_task,
        limits=limits,
    )
    server = grpc.aio.server(options=channel_options("127.0.0.1:0"))
    monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server(MonitoringServicer(monitoring), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    options = channel_options("127.0.0.1:0", retries=False)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
        yield Service(monitoring, stub, peer, clock, registry, backend, engine, port)
    await server.stop(None)
    await monitoring.close()
    engine.dispose()
