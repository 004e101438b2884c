"""Users' newest events out of SQLite, remembered as long as nothing is written.

A query lets go of the interpreter's lock, and a caller may then wait milliseconds for it while a batch is computed.
Most users were told of nothing since the last call, and whether anything was written can be seen without a query:
SQLite counts transactions in the file that its processes share (`-shm`; https://sqlite.org/walformat.html, the
WAL-index header).
"""

from __future__ import annotations

import mmap
import sqlite3
import threading
from collections import OrderedDict
from pathlib import Path

from packline_core.errors import Unavailable

from packline_recommendation.events import Raw
from packline_recommendation.examples import LONGEST_HISTORY

_HEADER = 48  # bytes of the WAL-index header, the counter among them
_MOST_USERS = 100_000
_RECENT = (
    'SELECT item, event, weight, at FROM recommendation_events WHERE pack = ? AND "user" = ? '
    "ORDER BY at DESC, number DESC LIMIT ?"
)
_SINCE = 'SELECT number, "user" FROM recommendation_events WHERE pack = ? AND number > ? ORDER BY number'
_NEWEST = "SELECT coalesce(max(number), 0) FROM recommendation_events WHERE pack = ?"


class RecentEvents:
    """The newest events of a Pack's users. Thread-safe.

    Args:
        database: Path of a SQLite file in WAL mode, with its tables.
        pack: The Pack.
    """

    def __init__(self, database: str, pack: str) -> None:
        self._pack = pack
        self._lock = threading.Lock()
        self._users: OrderedDict[str, tuple[Raw, ...]] = OrderedDict()
        self._connection = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        (self._number,) = self._connection.execute(_NEWEST, (pack,)).fetchone()
        # This connection stays open, so the file stays the one that all processes share.
        with Path(f"{database}-shm").open("rb") as shared:
            self._shared = mmap.mmap(shared.fileno(), _HEADER, access=mmap.ACCESS_READ)
        self._seen = b""

    def of(self, user: str) -> tuple[Raw, ...]:
        """A user's newest events, oldest first.

        Raises:
            Unavailable: The database cannot be read.
        """
        with self._lock:
            try:
                self._forget_changed()
                found = self._users.get(user)
                if found is None:
                    rows = self._connection.execute(_RECENT, (self._pack, user, LONGEST_HISTORY)).fetchall()
                    found = self._users[user] = tuple(Raw(*row) for row in reversed(rows))
                    if len(self._users) > _MOST_USERS:
                        self._users.popitem(last=False)
                else:
                    self._users.move_to_end(user)
            except sqlite3.Error as error:
                raise Unavailable(f"the Pack's state cannot be read: {error}", reason="DATABASE_UNREACHABLE") from error
            return found

    def close(self) -> None:
        """Lets go of the file."""
        self._shared.close()
        self._connection.close()

    def _forget_changed(self) -> None:
        # Read before the query: what is written in between makes the header differ again.
        header = self._shared[:_HEADER]
        if header == self._seen:
            return
        (newest,) = self._connection.execute(_NEWEST, (self._pack,)).fetchone()
        if newest < self._number:
            self._users.clear()  # the Pack was deleted
        for _, user in self._connection.execute(_SINCE, (self._pack, self._number)):
            self._users.pop(user, None)
        self._number, self._seen = newest, header
