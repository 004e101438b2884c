"""One process of a control plane: its log, until when it is waited for, and its end; and what may go wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class NotReady(Exception):
    """A part ended, or did not answer in time; the message holds the end of its log."""


class CommandFailed(subprocess.CalledProcessError):
    """kubectl or helm refused; what it said is part of the message, so that a failed test shows it."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr.strip()}"


@dataclass
class Part:
    """A process that is started, killed and started again with the same command.

    Attributes:
        name: What its log is called.
        command: The program and its arguments.
        folder: Where it runs and where the log goes.
        ready: Whether it answers; called again and again after the start.
        environment: Further variables.
    """

    name: str
    command: Sequence[str]
    folder: Path
    ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = 120) -> None:
        """Starts it, where it does not run, and waits until it is ready.

        Raises:
            NotReady: It ended, or is not ready within `timeout` seconds.
        """
        if self.runs:
            return
        with self.log.open("ab") as log:
            # A session of its own, so that a Ctrl-C in the terminal reaches it only after the tests have cleaned up.
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self.ready():
            if not self.runs:
                raise NotReady(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} is not ready after {timeout:.0f} s:\n{self.tail()}")
            time.sleep(0.1)

    def stop(self, grace: float = 10) -> None:
        """Asks it to end, and kills it where it does not within `grace` seconds."""
        if self.process is None:
            return
        if self.runs:
            self.process.terminate()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        if self.process is not None:
            if self.runs:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def tail(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
