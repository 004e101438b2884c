"""The platform of one machine, from outside: its processes, whether it answers, how it is started and ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from packline_core.config import Settings, load_settings
from packline_core.errors import PacklineError, Unavailable
from packline_core.fleet.local_ray import find_ray, stop_ray
from packline_core.fleet.processes import end_processes

MODULE = "packline_operator.local"
LOG = "platform.log"


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the platform answers: `address` once it does, `waiting_for` until then."""

    address: str = ""
    waiting_for: str = ""


def platform_processes(home: Path) -> list[psutil.Process]:
    """The processes that run the platform of this home; one, where it runs."""
    return [process for process, module in _processes(home) if module == MODULE]


def _processes(home: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Ray's and Packline's processes that live in this home, with the modules that they run.

    What else has the variable (a shell, a user's own program) is not Packline's to end.
    """
    for process in psutil.process_iter():
        try:
            module = _module(process.cmdline())
            if module and load_settings(process.environ()).home == home:
                yield process, module
        except psutil.Error:
            continue


def _module(command: list[str]) -> str:
    """`ray.…` or `packline_…` of `python -m …`, `ray::…` of a Ray worker; nothing for any other command."""
    name = command[command.index("-m") + 1] if "-m" in command[:-1] else command[0] if command else ""
    ours = name.startswith(("ray.", "ray::", "packline_")) and not name.startswith("packline_client")
    return name if ours else ""


def start_platform(settings: Settings, log: Path | None) -> subprocess.Popen[bytes]:
    """Starts the platform.

    Args:
        settings: Its home.
        log: Where its output goes, for one that outlives this process; to this process's own output where left out.
    """
    environment = {**os.environ, "PACKLINE_HOME": str(settings.home)}
    command = [sys.executable, "-m", MODULE]
    if log is None:
        return subprocess.Popen(command, env=environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )


def readiness(home: Path) -> Readiness:
    """Whether a client would be answered now."""
    from packline_client.client import Client

    ray = find_ray(home)
    if ray is None:
        return Readiness(waiting_for="the fleet to start")
    with Client(ray.address, timeout=2, retries=False) as client:
        service = "training"
        try:
            client.training.packs()
            service = "monitoring"
            client.monitoring.replicas("any")
        except PacklineError:
            return Readiness(waiting_for=f"the {service} service to answer")
    return Readiness(address=ray.address)


def wait_until_ready(home: Path, alive: Callable[[], bool], tell: Callable[[str], None], timeout: float) -> str:
    """Waits until the platform answers, and gives its address.

    Raises:
        Unavailable: It ended, or did not answer in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        now = readiness(home)
        if now.address:
            return now.address
        if not alive():
            raise Unavailable("Packline ended before it was ready", reason="PLATFORM_ENDED")
        if time.monotonic() > deadline:
            raise Unavailable(
                f"Packline was not ready within {timeout:.0f} seconds (it waits for {now.waiting_for}); "
                "see what it says: packline logs",
                reason="PLATFORM_SLOW",
            )
        tell(now.waiting_for)
        time.sleep(0.3)


def stop_platform(home: Path, grace: float) -> int:
    """Ends every process of this home; returns how many there were.

    Raises:
        Unavailable: Some process could not be ended; the message names it.
    """
    count = end_processes(platform_processes(home), grace)
    count += stop_ray(home)
    # Helpers of Ray that name no folder end by themselves once Ray is gone, or are ended here.
    rest = [process for process, _ in _processes(home)]
    _, late = psutil.wait_procs(rest, timeout=grace / 3)
    count += len(rest)
    end_processes(late, grace / 3)
    if left := [process.pid for process, _ in _processes(home)]:
        raise Unavailable(
            f"processes {', '.join(map(str, left))} of {home} could not be ended; end them yourself",
            reason="PROCESSES_LEFT",
        )
    return count
