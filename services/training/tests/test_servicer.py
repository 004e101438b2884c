"""The three services over a real gRPC server."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from packline.training.v1 import training_pb2 as pb
from packline.training.v1 import training_pb2_grpc as rpc
from packline_core.channels import open_channel
from packline_core.errors import Cancelled, PacklineError
from packline_core.rpc import error_from_call
from packline_slope.task import SlopeTask
from packline_slope.testing import manifest
from packline_training.domain import Decision, DecisionKind
from packline_training.engine import TrainingEngine
from packline_training.servicer import TrainingServicer, _receive
from packline_training.upload import Upload

from tests.backends.fixtures import EMBEDDED, Backend

pytestmark = pytest.mark.backends


class Client:
    def __init__(self, channel: grpc.Channel) -> None:
        self.registry = rpc.RegistryServiceStub(channel)
        self.datasets = rpc.DatasetServiceStub(channel)
        self.runs = rpc.RunServiceStub(channel)

    def register(self, name: str = "line", **spec: Any) -> Any:
        text = manifest(name, **spec).to_json()
        return self.registry.RegisterPack(pb.RegisterPackRequest(pack=name, manifest_json=text)).state

    def load(self, pack: str, *pieces: tuple[str, bytes]) -> Any:
        def messages() -> Iterator[pb.ImportDatasetRequest]:
            yield pb.ImportDatasetRequest(pack=pack)
            for path, chunk in pieces:
                yield pb.ImportDatasetRequest(file=pb.FileChunk(path=path, chunk=chunk))

        return self.datasets.ImportDataset(messages())

    def publish(self, pack: str, folder: Path) -> Any:
        def messages() -> Iterator[pb.PublishVersionRequest]:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                piece = pb.FileChunk(path=path.relative_to(folder).as_posix(), chunk=path.read_bytes())
                yield pb.PublishVersionRequest(pack=pack, file=piece)

        return self.registry.PublishVersion(messages()).version


@pytest.fixture
def client(training: TrainingEngine) -> Iterator[Client]:
    started, stopped = threading.Event(), asyncio.Event()
    address: list[str] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = grpc.aio.server()
        servicer: Any = TrainingServicer(training)
        for add in (
            rpc.add_RegistryServiceServicer_to_server,
            rpc.add_DatasetServiceServicer_to_server,
            rpc.add_RunServiceServicer_to_server,
        ):
            add(servicer, server)
        address.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        started.set()
        await stopped.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    with open_channel(address[0], retries=False) as channel:
        yield Client(channel)
    loop.call_soon_threadsafe(stopped.set)
    thread.join()
    loop.close()


def refused(call: Any, *values: Any) -> PacklineError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*values)
    return error_from_call(caught.value)


def test_a_pack_from_manifest_to_rollout(client: Client, backend: Backend, tmp_path: Path) -> None:
    state = client.register()
    assert (state.pack, state.task, state.active.version, state.active.origin) == ("line", "slope", "v1", "flat")
    assert state.active.uri.startswith(backend.store) and state.phase == pb.PHASE_IDLE
    assert client.register().active.digest == state.active.digest, "registering again changes nothing"
    folder = tmp_path / "bundle"
    folder.mkdir()
    SlopeTask().build_base("one", folder)
    published = client.publish("line", folder)
    assert (published.version, published.origin, published.state) == ("v2", "published", pb.VERSION_STATE_REGISTERED)
    assert client.publish("line", folder).version == "v2"
    decide = pb.DecideRequest(
        pack="line", decision_id="d1", expected_revision=1, kind=pb.DECISION_KIND_REJECT, version="v2", message="worse"
    )
    assert client.registry.Decide(decide).state.revision == 2
    assert client.registry.Decide(decide).state.revision == 2
    assert refused(client.publish, "line", folder).reason == "DIGEST_REJECTED"
    (decision,) = client.registry.ListDecisions(pb.ListDecisionsRequest(pack="line")).decisions
    assert (decision.decision_id, decision.kind, decision.revision) == ("d1", pb.DECISION_KIND_REJECT, 2)
    versions = client.registry.ListVersions(pb.ListVersionsRequest(pack="line")).versions
    assert [(v.version, v.reason) for v in versions] == [("v2", "worse"), ("v1", "")]
    answer = client.registry.GetPack(pb.GetPackRequest(pack="line"))
    assert json.loads(answer.manifest_json)["spec"] == {"task": "slope"}
    assert [p.pack for p in client.registry.ListPacks(pb.ListPacksRequest()).packs] == ["line"]
    client.registry.ForgetPack(pb.ForgetPackRequest(pack="line"))
    assert refused(client.registry.GetPack, pb.GetPackRequest(pack="line")).reason == "PACK_NOT_FOUND"


def test_another_base_in_the_manifest_becomes_a_version(client: Client) -> None:
    client.register()
    client.register(model={"base": "one"})
    versions = client.registry.ListVersions(pb.ListVersionsRequest(pack="line")).versions
    assert [(v.version, v.origin, v.state) for v in versions] == [
        ("v2", "one", pb.VERSION_STATE_REGISTERED),
        ("v1", "flat", pb.VERSION_STATE_ACTIVE),
    ]
    client.register(model={"base": "one"})
    assert len(client.registry.ListVersions(pb.ListVersionsRequest(pack="line")).versions) == 2


def test_an_import_in_pieces(client: Client, training: TrainingEngine) -> None:
    client.register()
    answer = client.load("line", ("a/b.tsv", b"1.0\t2"), ("a/b.tsv", b".0\n2.0\t4.0\n"), ("c.tsv", b"oops\n"))
    assert (answer.added, answer.bad_row_count, answer.bad_rows[0].source) == (2, 1, "c.tsv")
    assert answer.dataset.training_examples + answer.dataset.golden_examples == 2
    listed = client.datasets.ListDatasetVersions(pb.ListDatasetVersionsRequest(pack="line")).datasets
    assert [d.digest for d in listed] == [answer.dataset.digest]
    assert list((training.settings.work / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    "pieces",
    [
        [("../secret", b"x")],
        [("/etc/passwd", b"x")],
        [("a\\b", b"x")],
        [("", b"x")],
        [("a", b"x"), ("b", b"y"), ("a", b"z")],
        [],
    ],
)
def test_paths_that_are_none_and_nothing_at_all(client: Client, pieces: list[tuple[str, bytes]]) -> None:
    client.register()
    assert refused(client.load, "line", *pieces).code.name == "INVALID_ARGUMENT"


def test_what_is_missing_or_wrong_is_named(client: Client) -> None:
    client.register()
    assert "name the Pack" in refused(client.load, "", ("a", b"x")).message
    assert refused(client.load, "other", ("a", b"1\t2\n")).reason == "PACK_NOT_FOUND"
    assert "run_id" in refused(client.runs.StartRun, pb.StartRunRequest(pack="line")).message
    assert "kind" in refused(client.runs.StartRun, pb.StartRunRequest(pack="line", run_id="r")).message
    assert "decision_id" in refused(client.registry.Decide, pb.DecideRequest(pack="line")).message
    stale = pb.DecideRequest(
        pack="line", decision_id="d", expected_revision=9, kind=pb.DECISION_KIND_REJECT, version="v1"
    )
    assert refused(client.registry.Decide, stale).reason == "REVISION_CHANGED"
    wrong = pb.RegisterPackRequest(pack="other", manifest_json=manifest("line").to_json())
    assert "is of Pack line" in refused(client.registry.RegisterPack, wrong).message


def test_a_damaged_bundle_is_refused(client: Client, tmp_path: Path) -> None:
    client.register()
    folder = tmp_path / "bundle"
    folder.mkdir()
    SlopeTask().build_base("one", folder)
    (folder / "slope.onnx").write_bytes((folder / "slope.onnx").read_bytes()[:-5])
    assert refused(client.publish, "line", folder).reason == "FILE_TRUNCATED"


def test_wishes(client: Client, training: TrainingEngine, tmp_path: Path) -> None:
    client.register()
    assert "no version waits" in refused(client.registry.Approve, pb.ApproveRequest(pack="line")).message
    assert "no previous version" in refused(client.registry.Rollback, pb.RollbackRequest(pack="line")).message
    folder = tmp_path / "bundle"
    folder.mkdir()
    SlopeTask().build_base("one", folder)
    client.publish("line", folder)
    assert client.registry.Approve(pb.ApproveRequest(pack="line")).state.approved_version == "v2"


def test_a_run_is_watched_until_its_end(client: Client, training: TrainingEngine) -> None:
    client.register()
    start = pb.StartRunRequest(pack="line", run_id="r1", kind=pb.RUN_KIND_TRAIN, reason="asked")
    assert client.runs.StartRun(start).run.state == pb.RUN_STATE_QUEUED
    seen = client.runs.WatchRun(pb.WatchRunRequest(pack="line", run_id="r1"))
    assert next(seen).run.stage == "waiting"
    assert client.runs.CancelRun(pb.CancelRunRequest(pack="line", run_id="r1")).run.state == pb.RUN_STATE_CANCELLED
    assert [answer.run.state for answer in seen] == [pb.RUN_STATE_CANCELLED]
    assert [r.run_id for r in client.runs.ListRuns(pb.ListRunsRequest(pack="line")).runs] == ["r1"]
    missing = pb.GetRunRequest(pack="line", run_id="none")
    assert refused(client.runs.GetRun, missing).reason == "RUN_NOT_FOUND"


@pytest.mark.parametrize("backend", [EMBEDDED], indirect=True)  # PostgreSQL locks rows
def test_a_locked_database_is_said_and_other_calls_go_on(client: Client, training: TrainingEngine) -> None:
    client.register()
    engine = training.tables.engine
    with engine.connect().execution_options(packline_write=True) as holder, holder.begin():
        decide = pb.DecideRequest(
            pack="line", decision_id="d", expected_revision=1, kind=pb.DECISION_KIND_REJECT, version="v1"
        )
        waiting: list[PacklineError] = []
        thread = threading.Thread(target=lambda: waiting.append(refused(client.registry.Decide, decide)))
        thread.start()
        for _ in range(5):
            assert client.registry.GetPack(pb.GetPackRequest(pack="line")).state.revision == 1
            time.sleep(0.05)
        thread.join()
    assert waiting[0].reason == "DATABASE_LOCKED"
    assert training.tables.registry.decisions("line", 1) == []


class CutOff:
    """Serve's stream of a caller who has gone: it ends as if it were whole."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[Any]:
        yield pb.ImportDatasetRequest(pack="line", file=pb.FileChunk(path="a.tsv", chunk=b"1.0\t2.0\n"))

    def is_cancelled(self) -> bool:
        return True


async def test_half_an_upload_is_no_upload(tmp_path: Path) -> None:
    with pytest.raises(Cancelled, match="cut off"):
        await _receive(CutOff(), Upload(tmp_path))  # type: ignore[arg-type]


def test_a_rejected_digest_stays_rejected_after_a_restart(training: TrainingEngine) -> None:
    training.register_pack("line", manifest().to_json())
    training.register_pack("line", manifest(model={"base": "one"}).to_json())
    training.tables.registry.decide("line", Decision("d", DecisionKind.REJECT, "v2", 1))
    # The rejected base is known as a version, so that applying the manifest again does not bring it back.
    assert list(training.register_pack("line", manifest(model={"base": "one"}).to_json()).versions) == ["v1", "v2"]
