"""When each Pack of a fleet is looked at next: at once after a change, soon while it moves, ever more rarely after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable

# The fleet itself: its services are to run where it has no Pack yet.
FLEET = ""
_MOVING = 1.0
_PART = 8


class Agenda:
    """Thread-safe.

    Args:
        settled: Seconds until a Pack of which nothing is under way is looked at again.
        monotonic: A clock that nobody sets.
    """

    def __init__(self, settled: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._settled = settled
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._woken: set[str] = set()
        self._all_woken = False
        self._due: dict[str, float] = {}
        self._pauses: dict[str, float] = {}

    def wake(self, pack: str | None) -> None:
        """One Pack, or with None all, are to be looked at now."""
        with self._changed:
            if pack is None:
                self._all_woken = True
            else:
                self._woken.add(pack)
            self._changed.notify()

    def take(self, packs: Iterable[str]) -> set[str]:
        """Those of all Packs to be looked at now: all that were woken, and some that are due anyway."""
        now = self._monotonic()
        with self._changed:
            known = {FLEET, *packs}
            woken = {name for name in known if self._all_woken or name in self._woken}
            self._due = {name: self._due.get(name, now) for name in known}
            self._due |= dict.fromkeys(woken, now)
            ripe = sorted((at, name) for name, at in self._due.items() if at <= now)
            # In parts, so that a change never waits for a round over all the others.
            due = (self._woken & known) | {name for _, name in ripe[:_PART]}
            self._woken, self._all_woken = set(), False
            self._pauses = {name: pause for name, pause in self._pauses.items() if name in known}
        return due

    def looked(self, taken: Collection[str], moving: Collection[str], waiting: Collection[str]) -> None:
        """Plans the next look at those that were taken."""
        now = self._monotonic()
        with self._changed:
            for name in taken:
                if name in moving:
                    pause = _MOVING
                elif name in waiting:
                    pause = min(self._pauses.get(name, _MOVING) * 2, max(_MOVING, self._settled / 4))
                else:
                    pause = self._settled
                self._pauses[name] = pause
                self._due[name] = now + pause

    def sleep(self) -> None:
        """Until something is due or woken."""
        with self._changed:
            wait = min(self._due.values(), default=0.0) - self._monotonic()
            if not self._woken and not self._all_woken and wait > 0:
                self._changed.wait(wait)
