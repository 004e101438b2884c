"""An installation with a real Ray, and what tests do to it: run, wait, kill."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from packline_core.config import load_settings
from packline_core.fleet.local_ray import RayOptions, RunningRay, start_ray, stop_ray
from packline_training.domain import Run, RunKind
from packline_training.engine import Tables, TrainingEngine, open_tables
from packline_training.trial import trial_folder

from packline_slope.peer import Peer, running_peer
from packline_slope.service import settings_of
from packline_slope.testing import manifest

START = {"rate": 0.3, "momentum": 0.0}


def until(found: Callable[[], Any], what: str, seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)
    return value


@dataclass
class World:
    home: Path
    ray: RunningRay
    environment: dict[str, str]
    tables: Tables
    engine: TrainingEngine
    peer: Peer
    service: subprocess.Popen[str] | None = None

    def start_service(self) -> None:
        """Starts the service's process, if none runs."""
        if self.service is not None and self.service.poll() is None:
            return
        self.service = subprocess.Popen(
            [sys.executable, "-m", "packline_slope.service", self.ray.gcs_address, json.dumps(self.environment)],
            env={**os.environ, **self.ray.driver_environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.service.stdout is not None
        until(self.service.stdout.readline, "the service")

    def kill_service(self) -> None:
        assert self.service is not None and self.service.stdout is not None
        self.service.kill()
        self.service.wait()
        self.service.stdout.close()

    def control(self, **told: Any) -> None:
        """Steers the task's training while it runs."""
        path = self.home / "control.json"
        path.with_suffix(".new").write_text(json.dumps(told))
        path.with_suffix(".new").replace(path)

    def pack(self, name: str, rows: int = 200, **spec: Any) -> None:
        """A Pack of that name with examples; its budget is small, so that a run is one trial."""
        spec = {"training": {"budget": {"maxMinutes": 5}}, **spec}
        self.engine.register_pack(name, manifest(name, **spec).to_json())
        if rows:
            with self.engine.upload_folder() as folder:
                (folder / "a.tsv").write_text("".join(f"{x / 10}\t{0.3 * x + 1}\n" for x in range(rows)))
                self.engine.import_dataset(name, folder)

    def start(self, pack: str, run_id: str, kind: RunKind = RunKind.TRAIN, version: str = "") -> None:
        self.tables.runs.start(pack, run_id, kind, "asked", version)

    def run(self, pack: str, run_id: str) -> Run:
        return self.tables.runs.get(pack, run_id)

    def ended(self, pack: str, run_id: str) -> Run:
        run: Run = until(lambda: (r := self.run(pack, run_id)).state.ended and r, f"the end of {run_id}")
        return run

    def trial_processes(
        self, pack: str, run_id: str, parameters: dict[str, Any] | None = None
    ) -> list[tuple[int, int]]:
        """(pid, step it began at) of every process that trained the trial."""
        folder = trial_folder(self.engine.settings.run_folder(pack, run_id), parameters or START)
        path = folder / "checkpoints" / "pids"
        if not path.exists():
            return []
        return [(int(a), int(b)) for a, b in (line.split() for line in path.read_text().splitlines())]

    def trial_step(self, pack: str, run_id: str) -> int:
        path = trial_folder(self.engine.settings.run_folder(pack, run_id), START) / "checkpoints" / "slope.json"
        return int(json.loads(path.read_text())["step"]) if path.exists() else 0

    def driver_pid(self, pack: str, run_id: str, attempt: int = 1) -> int:
        log = (self.home / "logs" / "training.log").read_text()
        words = re.escape(f"packline_training.driver: run {run_id} of {pack}: attempt {attempt}")
        found = re.search(rf" (\d+) {words}", log)
        assert found is not None
        return int(found[1])


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@contextmanager
def running_world(home: Path, database: str, store: str) -> Iterator[World]:
    with running_peer() as peer:
        environment = {
            "PACKLINE_HOME": str(home),
            "PACKLINE_TRAINING_DATABASE": database,
            "PACKLINE_STORE": store,
            "PACKLINE_ADDRESS": peer.address,
            "PACKLINE_SERVE_API": "http://127.0.0.1:0",
            "PACKLINE_THREADS": "1",
        }
        seen = {"PYTHONPATH": os.environ["PYTHONPATH"], "SLOPE_CONTROL": str(home / "control.json")}
        ray = start_ray(load_settings({**environment, "PACKLINE_ADDRESS": "127.0.0.1:0"}), RayOptions(environment=seen))
        settings = settings_of(environment)
        tables = open_tables(settings, lambda: datetime.now(UTC))
        world = World(home, ray, environment, tables, TrainingEngine(settings, tables), peer)
        try:
            world.start_service()
            yield world
        finally:
            world.kill_service()
            stop_ray(home, grace=3.0)
            tables.engine.dispose()
