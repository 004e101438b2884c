"""A real platform for tests: `python -m packline_operator.local` in a home of its own, and what its users do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from packline.echo.v1.echo_pb2 import EchoRequest
from packline.echo.v1.echo_pb2_grpc import EchoServiceStub
from packline.training.v1 import training_pb2 as training
from packline.training.v1.training_pb2_grpc import RegistryServiceStub
from packline_core.bundle import Bundle
from packline_core.config import TRAINING_APPLICATION, load_settings
from packline_core.errors import PacklineError
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RunningRay, find_ray, stop_ray
from packline_core.fleet.processes import fleet_processes
from packline_core.manifest import parse_pack
from packline_core.packs import PackFiles
from packline_core.rpc import call_metadata, open_channel
from packline_operator.act import DIE_AFTER
from packline_operator.clock import OFFSET_FILE

QUICK = {
    "shadow": "1s",
    "steps": [{"weight": 30, "hold": "1s"}, {"weight": 60, "hold": "1s"}],
    "minRequests": 20,
    "watch": "0s",
    # The machine that runs the tests is busy with other things.
    "maxLatencyIncrease": "100%",
}


@dataclass
class Platform:
    """One home and the loop on it."""

    home: Path
    loop: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "PACKLINE_HOME": str(self.home),
            "PACKLINE_ADDRESS": "127.0.0.1:0",
            "PACKLINE_SERVE_API": "http://127.0.0.1:0",
            "PACKLINE_PROBATION_SECONDS": "2",
            OFFSET_FILE: str(self.home / "offset"),
        }
        self.settings = load_settings(self.environment)
        self.files = PackFiles(self.settings.packs)

    # Processes.

    def start(self, die_after: int = 0) -> subprocess.Popen[bytes]:
        log = (self.home / "platform.log").open("ab")
        with log:
            self.loop = subprocess.Popen(
                [sys.executable, "-m", "packline_operator.local"],
                env={**self.environment, DIE_AFTER: str(die_after)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.loop

    def kill_loop(self) -> None:
        assert self.loop is not None
        self.loop.kill()
        self.loop.wait()

    def kill_everything(self) -> None:
        """As a power cut would: the loop and all of Ray at once."""
        folder = self.ray.folder
        self.kill_loop()
        killed = fleet_processes(folder)
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        # A killed process is seen until the kernel has taken its memory back.
        _, left = psutil.wait_procs(killed, timeout=60)
        assert not left, f"still there after SIGKILL: {left}"

    @property
    def log(self) -> str:
        return (self.home / "platform.log").read_text()

    @property
    def ray(self) -> RunningRay:
        ray = find_ray(self.home)
        assert ray is not None, f"no Ray runs\n{self.log[-3000:]}"
        return ray

    @property
    def api(self) -> FleetApi:
        return FleetApi.of(self.ray.settings(self.settings))

    # What users do.

    def apply(self, name: str, **spec: Any) -> None:
        spec = {"task": "echo", "rollout": QUICK, "gate": {"enabled": False}} | spec
        metadata = {"name": name}
        self.files.apply(
            parse_pack({"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": metadata, "spec": spec})
        )

    def publish(self, name: str, bundle: Bundle) -> str:
        files = [path for path in sorted(bundle.folder.rglob("*")) if path.is_file()]
        messages = [
            training.PublishVersionRequest(
                pack=name,
                file=training.FileChunk(path=path.relative_to(bundle.folder).as_posix(), chunk=path.read_bytes()),
            )
            for path in files
        ]
        with self.registry() as stub:
            return str(stub.PublishVersion(iter(messages), timeout=60).version.version)

    @contextmanager
    def registry(self) -> Iterator[RegistryServiceStub]:
        with open_channel(self.ray.address, TRAINING_APPLICATION) as channel:
            yield RegistryServiceStub(channel)

    def decisions(self, name: str) -> list[training.Decision]:
        """Oldest first."""
        with self.registry() as stub:
            answer = stub.ListDecisions(training.ListDecisionsRequest(pack=name, limit=100), timeout=30)
        return list(reversed(answer.decisions))

    def state(self, name: str) -> training.PackState:
        with self.registry() as stub:
            return stub.GetPack(training.GetPackRequest(pack=name), timeout=30).state

    def status(self, name: str) -> dict[str, Any]:
        return self.files.read_status(name) or {}

    def condition(self, name: str, type_: str) -> dict[str, Any]:
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == type_), {})

    def ready(self, name: str) -> bool:
        status = self.status(name)
        generation = self.files.get(name).generation
        return status.get("observedGeneration") == generation and self.condition(name, "Ready").get("status") == "True"

    def reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in self.files.read_events(name)]

    def wait(self, until: Callable[[], Any], what: str, timeout: float = 300) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                if until():
                    return
            except (PacklineError, grpc.RpcError):
                pass
            if time.monotonic() > deadline:
                told = {path.name: self.status(path.name) for path in self.settings.packs.glob("[a-z]*")}
                raise AssertionError(f"{what}: not within {timeout} s\n{told}\n{self.log[-4000:]}")
            time.sleep(0.2)

    @contextmanager
    def traffic(self, name: str, per_second: float = 60) -> Iterator[Traffic]:
        """Callers who call until the block ends."""
        traffic = Traffic(self.ray.address, name, per_second)
        thread = threading.Thread(target=traffic.run)
        thread.start()
        try:
            yield traffic
        finally:
            traffic.stop.set()
            thread.join()


@dataclass
class Traffic:
    """Calls one after another, and what became of them; the channel is the one that the client library opens."""

    address: str
    pack: str
    per_second: float
    stop: threading.Event = field(default_factory=threading.Event)
    answered: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def run(self) -> None:
        with open_channel(self.address) as channel:
            stub = EchoServiceStub(channel)
            while not self.stop.wait(1 / self.per_second):
                try:
                    request = EchoRequest(pack=self.pack, values=[1.0, 2.0])
                    answer = stub.Echo(request, timeout=30, metadata=call_metadata(self.pack))
                    self.answered[answer.model_version] = self.answered.get(answer.model_version, 0) + 1
                except grpc.RpcError as error:
                    self.failed.append(f"{error.code()}: {error.details()}")


@contextmanager
def running_platform(home: Path) -> Iterator[Platform]:
    """Starts one, and ends whatever is left of it."""
    home.mkdir(parents=True, exist_ok=True)
    platform = Platform(home)
    platform.start()
    try:
        yield platform
    finally:
        if platform.loop is not None and platform.loop.poll() is None:
            platform.loop.send_signal(signal.SIGKILL)
            platform.loop.wait()
        stop_ray(home, grace=1)
