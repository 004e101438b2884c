"""What the replicas hold, as they last said.

Kept in memory: replicas report every 5 seconds, so a restart knows them again at once, and until then the loop sees
fewer replicas than Serve has and holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from packline_core.errors import Overloaded

from packline_monitoring.checks import check_id, check_pack
from packline_monitoring.domain import Replica

WITHIN = timedelta(seconds=30)
_MAX = 10_000


class Replicas:
    """The last report of each replica. Used from the event loop only."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._last: dict[tuple[str, str], Replica] = {}

    def report(self, replica: Replica) -> None:
        """Takes in a report. Raises `InvalidInput`, and `Overloaded` past ten thousand replicas."""
        key = (check_pack(replica.pack, "replica.pack"), check_id(replica.replica_id, "replica.replica_id"))
        self._forget_old()
        if key not in self._last and len(self._last) >= _MAX:
            raise Overloaded(f"{_MAX} replicas report already", reason="TOO_MANY_REPLICAS", retry_after=5.0)
        self._last[key] = replace(replica, reported_at=self._clock())

    def list(self, pack: str) -> list[Replica]:
        """A Pack's replicas that reported within the last 30 seconds."""
        check_pack(pack)
        self._forget_old()
        return [replica for (of, _), replica in sorted(self._last.items()) if of == pack]

    def forget(self, pack: str) -> None:
        """Forgets a Pack's replicas."""
        self._last = {key: replica for key, replica in self._last.items() if key[0] != pack}

    def _forget_old(self) -> None:
        since = self._clock() - WITHIN
        self._last = {key: replica for key, replica in self._last.items() if replica.reported_at >= since}
