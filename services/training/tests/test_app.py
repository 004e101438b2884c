"""The application under a real Serve: its ingress, uploads that break off, and a kill -9 of its process."""

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from packline.training.v1 import training_pb2 as pb
from packline.training.v1 import training_pb2_grpc as rpc
from packline_core.channels import open_channel
from packline_core.config import TRAINING_APPLICATION
from packline_echo.fleet import RunningFleet, running_fleet
from packline_slope.testing import manifest
from packline_slope.world import kill, until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    with running_fleet(
        tmp_path_factory.mktemp("home"),
        environment={"PYTHONPATH": str(Path(__file__).parent / "plugin"), "PACKLINE_TRAINING_MIRROR": "0"},
        services=(TRAINING_APPLICATION,),
    ) as running:
        running.put()
        yield running


@pytest.fixture
def channel(fleet: RunningFleet) -> Iterator[grpc.Channel]:
    with open_channel(fleet.settings.address, TRAINING_APPLICATION) as channel:
        yield channel


def register(channel: grpc.Channel, name: str) -> Any:
    request = pb.RegisterPackRequest(pack=name, manifest_json=manifest(name).to_json())
    return rpc.RegistryServiceStub(channel).RegisterPack(request).state


def pieces(pack: str, count: int) -> Iterator[pb.ImportDatasetRequest]:
    for number in range(count):
        piece = pb.FileChunk(path=f"{number}.tsv", chunk=f"{float(number)}\t1.0\n".encode())
        yield pb.ImportDatasetRequest(pack=pack, file=piece)


def arrived(uploads: Path) -> int:
    """How many files of an upload there are."""
    return max((len(list(folder.glob("*"))) for folder in uploads.glob("*")), default=0)


class Cable:
    """A connection to the ingress that can be pulled out in the middle."""

    def __init__(self, address: str) -> None:
        self._target = (address.rpartition(":")[0], int(address.rpartition(":")[2]))
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self._ends: list[socket.socket] = []

    def connect(self) -> None:
        near, _ = self._server.accept()
        far = socket.create_connection(self._target)
        self._ends = [near, far]
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def pull(self) -> None:
        """As a power cut of the caller does: no goodbye on either side."""
        for end in self._ends:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.shutdown(socket.SHUT_RD)
            end.close()
        self._server.close()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return


def test_an_import_through_the_ingress(channel: grpc.Channel) -> None:
    register(channel, "whole")
    answer = rpc.DatasetServiceStub(channel).ImportDataset(pieces("whole", 50))
    assert answer.added == 50


def test_an_upload_that_breaks_off_leaves_nothing(fleet: RunningFleet, channel: grpc.Channel) -> None:
    register(channel, "broken")
    cable = Cable(fleet.settings.address)
    accepted = threading.Thread(target=cable.connect)
    accepted.start()
    uploads = fleet.settings.home / "training" / "uploads"
    hold = threading.Event()

    def half() -> Iterator[pb.ImportDatasetRequest]:
        yield from pieces("broken", 50)
        hold.wait(600)

    with open_channel(cable.address, TRAINING_APPLICATION, retries=False) as caller:
        future = rpc.DatasetServiceStub(caller).ImportDataset.future(half())
        accepted.join()
        until(lambda: arrived(uploads) >= 49, "the pieces")
        cable.pull()
        with pytest.raises(grpc.RpcError):
            future.result()
        hold.set()
    until(lambda: not list(uploads.iterdir()), "the end of the upload")
    stub = rpc.DatasetServiceStub(channel)
    assert len(stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(pack="broken")).datasets) == 0


def test_a_call_that_is_given_up_leaves_nothing(fleet: RunningFleet, channel: grpc.Channel) -> None:
    register(channel, "given-up")
    uploads = fleet.settings.home / "training" / "uploads"
    hold = threading.Event()

    def half() -> Iterator[pb.ImportDatasetRequest]:
        yield from pieces("given-up", 50)
        hold.wait(600)

    stub = rpc.DatasetServiceStub(channel)
    future = stub.ImportDataset.future(half())
    until(lambda: arrived(uploads) >= 49, "the pieces")
    future.cancel()
    hold.set()
    until(lambda: not list(uploads.iterdir()), "the end of the upload")
    assert len(stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(pack="given-up")).datasets) == 0


def test_a_killed_service_comes_back_with_all_that_it_acknowledged(fleet: RunningFleet, channel: grpc.Channel) -> None:
    digest = register(channel, "kept").active.digest
    imported = rpc.DatasetServiceStub(channel).ImportDataset(pieces("kept", 20)).dataset.digest
    name = f"ray::ServeReplica:{TRAINING_APPLICATION}"

    def replicas() -> list[int]:
        home = str(fleet.settings.home)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(part.startswith(name) for part in process.info["cmdline"] or ()):
                try:
                    if process.environ().get("PACKLINE_HOME") == home:
                        found.append(process.pid)
                except psutil.Error:
                    continue
        return found

    (pid,) = replicas()
    kill(pid)
    until(lambda: replicas() not in ([], [pid]), "a new process")

    def answered() -> Any:
        try:
            return rpc.RegistryServiceStub(channel).GetPack(pb.GetPackRequest(pack="kept"))
        except grpc.RpcError:
            return None

    assert until(answered, "an answer").state.active.digest == digest
    stub = rpc.DatasetServiceStub(channel)
    (dataset,) = stub.ListDatasetVersions(pb.ListDatasetVersionsRequest(pack="kept")).datasets
    assert dataset.digest == imported
