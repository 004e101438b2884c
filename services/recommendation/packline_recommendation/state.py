"""What a Pack was told while it serves: events and items, in tables that all its replicas share.

What was acknowledged is on disk. Calls that come at the same time share one transaction, since a disk makes only
so many a second.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from packline_core.db import alone, create_engine, migrate, read, write
from packline_core.errors import Unavailable
from packline_core.task import State
from sqlalchemy.engine import Connection

from packline_recommendation.events import Raw
from packline_recommendation.examples import LONGEST_HISTORY, Item
from packline_recommendation.recent import RecentEvents
from packline_recommendation.state_tables import events, items

_CHUNK = 500
_MOST_AT_ONCE = 5000  # events of one transaction
_STREAM = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """One event that a Pack was told of.

    Attributes:
        event_id: The sender's; counts once.
        user: Who did it.
        raw: What was done.
        context: What is known of the user.
        number: In the order in which they were taken in; 0 before.
    """

    event_id: str
    user: str
    raw: Raw
    context: dict[str, str] = field(default_factory=dict)
    number: int = 0


class PackState:
    """The state of one Pack. Thread-safe.

    Args:
        state: Where it lies.
    """

    def __init__(self, state: State) -> None:
        self.pack = state.pack
        self._engine = create_engine(state.database)
        migrate(self._engine, "packline_recommendation")
        self._calls: queue.SimpleQueue[tuple[Sequence[Told], Future[tuple[int, int]]] | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_calls, name="events", daemon=True)
        self._writer.start()
        columns = (events.c.item, events.c.event, events.c.weight, events.c.at)
        self._recent = (
            sa.select(*columns)
            .where(events.c.pack == self.pack, events.c.user == sa.bindparam("user"))
            .order_by(events.c.at.desc(), events.c.number.desc())
            .limit(LONGEST_HISTORY)
        )
        database = self._engine.url.database
        self._local = RecentEvents(database, self.pack) if self.is_local and database else None

    @property
    def is_local(self) -> bool:
        """Whether reading a user's events takes so little that no thread is worth it."""
        return self._engine.dialect.name == "sqlite"

    def record(self, told: Sequence[Told]) -> Future[tuple[int, int]]:
        """Takes events in, all or none; gives how many were new, and how many were known.

        The future raises `Unavailable` or `StorageFull` where nothing was written.
        """
        done: Future[tuple[int, int]] = Future()
        self._calls.put((told, done))
        return done

    def recent(self, user: str) -> Sequence[Raw]:
        """The newest events of a user, oldest first."""
        if self._local is not None:
            return self._local.of(user)
        with read(self._engine) as connection:
            rows = connection.execute(self._recent, {"user": user}).all()
        return [_raw(*row) for row in reversed(rows)]

    def events(self, after: int = 0, since: int = -1) -> Iterator[Told]:
        """Events in the order they were taken in.

        Args:
            after: Those with a higher number.
            since: Those that happened later, in seconds since 1970.
        """
        query = sa.select(events).where(events.c.pack == self.pack, events.c.number > after, events.c.at > since)
        with read(self._engine) as connection:
            rows = connection.execution_options(yield_per=_STREAM).execute(query.order_by(events.c.number))
            for row in rows:
                yield Told(
                    row.event_id, row.user, _raw(row.item, row.event, row.weight, row.at), row.context, row.number
                )

    def put_items(self, new: Sequence[Item]) -> int:
        """Takes items in, each in the place of one with the same id; gives how many are new or changed."""
        latest = {item.id: item for item in new}
        with write(self._engine) as connection:
            alone(connection, f"items of {self.pack}")
            change = 1 + (connection.scalar(sa.select(sa.func.max(items.c.change)).where(_mine(self.pack))) or 0)
            changed = 0
            for ids in _chunks(list(latest)):
                query = sa.select(items.c.item, items.c.text, items.c.attributes)
                there = {
                    row.item: (row.text, row.attributes)
                    for row in connection.execute(query.where(_mine(self.pack), items.c.item.in_(ids)))
                }
                fresh = [latest[i] for i in ids if there.get(i) != (latest[i].text, dict(latest[i].attributes))]
                if gone := [item.id for item in fresh if item.id in there]:
                    connection.execute(items.delete().where(_mine(self.pack), items.c.item.in_(gone)))
                if fresh:
                    rows = [
                        {
                            "pack": self.pack,
                            "item": i.id,
                            "text": i.text,
                            "attributes": dict(i.attributes),
                            "change": change,
                        }
                        for i in fresh
                    ]
                    connection.execute(items.insert(), rows)
                changed += len(fresh)
        return changed

    def listed(self, after: int = 0) -> Iterator[tuple[int, Item]]:
        """Items of the list with the number of their change, in the order of these."""
        query = sa.select(items).where(_mine(self.pack), items.c.change > after).order_by(items.c.change, items.c.item)
        with read(self._engine) as connection:
            for row in connection.execution_options(yield_per=_STREAM).execute(query):
                yield row.change, Item(row.item, row.text, row.attributes)

    def close(self) -> None:
        """Writes what waits and lets go of the database."""
        self._calls.put(None)
        self._writer.join(30)
        if self._local is not None:
            self._local.close()
        self._engine.dispose()

    def _write_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            calls, size, ended = [call], len(call[0]), False
            while size < _MOST_AT_ONCE:
                try:
                    further = self._calls.get_nowait()
                except queue.Empty:
                    break
                if further is None:
                    ended = True
                    break
                calls.append(further)
                size += len(further[0])
            self._write_together(calls)
            if ended:
                break
        while not self._calls.empty():
            if (late := self._calls.get()) is not None:
                late[1].set_exception(Unavailable("the replica is closing; send it again", reason="CLOSING"))

    def _write_together(self, calls: Sequence[tuple[Sequence[Told], Future[tuple[int, int]]]]) -> None:
        try:
            with write(self._engine) as connection:
                alone(connection, f"events of {self.pack}")
                counts = _insert(connection, self.pack, [told for told, _ in calls])
        except Exception as error:  # whatever it was, each caller must hear that nothing was written
            for _, done in calls:
                done.set_exception(error)
            return
        for (told, done), new in zip(calls, counts, strict=True):
            done.set_result((new, len(told) - new))


def forget(state: State) -> None:
    """Removes all that a Pack was told."""
    engine = create_engine(state.database)
    migrate(engine, "packline_recommendation")
    with write(engine) as connection:
        connection.execute(events.delete().where(events.c.pack == state.pack))
        connection.execute(items.delete().where(_mine(state.pack)))
    engine.dispose()


def _mine(pack: str) -> sa.ColumnElement[bool]:
    return items.c.pack == pack


def _insert(connection: Connection, pack: str, calls: Sequence[Sequence[Told]]) -> list[int]:
    """Inserts the events of some calls whose id is new; gives how many there were in each."""
    first: dict[str, tuple[int, Told]] = {}
    for number, told in enumerate(calls):
        for one in told:
            first.setdefault(one.event_id, (number, one))
    counts = [0] * len(calls)
    # A statement for many events, whoever sent them, since a statement costs as much as some ten of its rows.
    for ids in _chunks(list(first)):
        query = sa.select(events.c.event_id).where(events.c.pack == pack, events.c.event_id.in_(ids))
        there = set(connection.scalars(query))
        fresh = [first[i] for i in ids if i not in there]
        if fresh:
            connection.execute(events.insert(), [_row(pack, one) for _, one in fresh])
        for number, _ in fresh:
            counts[number] += 1
    return counts


def _row(pack: str, told: Told) -> dict[str, Any]:
    raw = told.raw
    return {
        "pack": pack,
        "event_id": told.event_id,
        "user": told.user,
        "item": raw.item,
        "event": raw.event,
        "weight": raw.weight,
        "at": raw.time,
        "context": told.context,
    }


def _raw(item: str, event: str, weight: float | None, at: int) -> Raw:
    return Raw(item, event, weight, at)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
