"""The platform under the demo: the packline command as a user types it, and the memory that all of it takes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from packline_core.fleet.processes import home_processes, proportional_memory


def packline(*arguments: str) -> None:
    """Runs the packline command and shows it; raises SystemExit with its exit code where it fails."""
    print(f"\n$ packline {' '.join(arguments)}", flush=True)
    done = subprocess.run([str(Path(sys.executable).with_name("packline")), *arguments], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


class MemoryMeter:
    """Watches the sum of PSS of every process of one home. Use it in `with`."""

    def __init__(self, home: Path, every: float = 3.0) -> None:
        self._home, self._every = str(home), every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory")
        self.peak = 0

    def __enter__(self) -> MemoryMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> int:
        """Bytes at this moment."""
        return proportional_memory({psutil.Process(), *home_processes(self._home)})

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.peak = max(self.peak, self.now())
            self._stop.wait(self._every)


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Until now."""
        return time.monotonic() - self._began
