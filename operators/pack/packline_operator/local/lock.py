"""One loop per home: a file lock, which ends with the process however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from packline_core.errors import FailedPrecondition

LOCK = "loop.lock"


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Holds the home's lock.

    Raises:
        FailedPrecondition: Another process holds it; the message names it.
    """
    home.mkdir(parents=True, exist_ok=True)
    # Not inherited: Ray outlives the loop, and must not keep its lock.
    descriptor = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            raise FailedPrecondition(
                f"Packline runs already on {home} (process {holder}); stop it with `packline down`, or choose another "
                "PACKLINE_HOME",
                reason="ALREADY_RUNNING",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
