"""Bundles that killed a replica: noted on disk before they are opened, so that the next process knows what happened.

A marker is written before a bundle is opened in the replica and taken away once it has served in good health. A replica
that starts and finds the marker of a dead process blames the candidate that this process held. An active version, with
nothing to fall back on, is blamed after three deaths in ten minutes. Where the whole node went down, nobody is blamed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

Role = Literal["active", "candidate"]
_DEATHS = 3
_DEATHS_WITHIN = 600.0


@dataclass(frozen=True, slots=True)
class _Marker:
    digest: str
    role: Role
    pid: int
    started: float
    parent: int
    parent_started: float


class Quarantine:
    """The markers and verdicts of one Pack on this node.

    Args:
        folder: Below this node's cache.
        clock: Seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    def settle(self) -> list[str]:
        """Judges the markers that dead processes left, and returns the digests that are quarantined now for the first
        time. Called by a replica before it opens anything.
        """
        with self._locked():
            by_process: dict[int, list[tuple[Path, _Marker]]] = defaultdict(list)
            for path in self._folder.glob("open-*.json"):
                try:
                    marker = _Marker(**json.loads(path.read_text(encoding="utf8")))
                except (ValueError, TypeError):
                    path.unlink(missing_ok=True)
                    continue
                if not _lives(marker.pid, marker.started):
                    by_process[marker.pid].append((path, marker))
            quarantined = []
            for found in by_process.values():
                quarantined += self._judge([marker for _, marker in found])
                for path, _ in found:
                    path.unlink(missing_ok=True)
            return quarantined

    def opening(self, digest: str, role: Role) -> None:
        """Notes that this process opens the bundle; called again when its role changes."""
        me, parent = psutil.Process(), psutil.Process(os.getppid())
        marker = _Marker(digest, role, me.pid, me.create_time(), parent.pid, parent.create_time())
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._path("open", digest, me.pid), json.dumps(asdict(marker)))

    def clear(self, digest: str) -> None:
        """Takes this process's marker away: the bundle was closed, or has proved sound."""
        self._path("open", digest, os.getpid()).unlink(missing_ok=True)

    def reason(self, digest: str) -> str | None:
        """Why the bundle is quarantined here; None where it is not."""
        try:
            text: str = json.loads(self._path("bad", digest).read_text(encoding="utf8"))["reason"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError):
            return "it killed a replica"
        return text

    def _judge(self, markers: list[_Marker]) -> list[str]:
        if not any(_lives(marker.parent, marker.parent_started) for marker in markers):
            return []  # the node's whole fleet ended, not this replica alone
        candidates = [marker for marker in markers if marker.role == "candidate"]
        for marker in candidates:
            self._condemn(marker.digest, "a replica died soon after it had opened this candidate")
        if candidates:
            return [marker.digest for marker in candidates]
        return [marker.digest for marker in markers if self._count_death(marker.digest)]

    def _count_death(self, digest: str) -> bool:
        path = self._path("deaths", digest)
        now = self._clock()
        try:
            deaths = [float(at) for at in json.loads(path.read_text(encoding="utf8"))]
        except (FileNotFoundError, ValueError, TypeError):
            deaths = []
        deaths = [at for at in deaths if now - at < _DEATHS_WITHIN] + [now]
        _write(path, json.dumps(deaths))
        if len(deaths) < _DEATHS:
            return False
        self._condemn(digest, f"replicas died {len(deaths)} times within ten minutes of opening this version")
        return True

    def _condemn(self, digest: str, reason: str) -> None:
        _write(self._path("bad", digest), json.dumps({"digest": digest, "reason": reason, "at": self._clock()}))

    def _path(self, kind: str, digest: str, pid: int | None = None) -> Path:
        name = f"{kind}-{digest.removeprefix('sha256:')}" + (f"-{pid}" if pid is not None else "")
        return self._folder / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _lives(pid: int, started: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False


def _write(path: Path, text: str) -> None:
    work = path.with_suffix(f".{os.getpid()}.tmp")
    work.write_text(text, encoding="utf8")
    work.replace(path)
