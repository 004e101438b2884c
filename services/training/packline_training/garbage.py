"""Objects that nothing refers to any more: listed in the transaction that let go of them, deleted after it, so that a
process killed in between leaves nothing behind that was to be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from packline_core.db import alone, read, write
from packline_core.store import ObjectStore
from sqlalchemy.engine import Connection, Engine

from packline_training.bases import BUNDLES
from packline_training.shards import AREA as EXAMPLES
from packline_training.tables import examples, garbage, versions

_SWEPT_EVERY = timedelta(hours=1)
# No writer takes that long.
_UNFINISHED = timedelta(days=1)


def add(connection: Connection, names: Iterable[str]) -> None:
    """Lists objects for deletion."""
    there = set(connection.scalars(sa.select(garbage.c.object_name)))
    for name in sorted(set(names) - there):
        connection.execute(garbage.insert().values(object_name=name))


def collect(engine: Engine, store: ObjectStore) -> int:
    """Deletes what is listed and still unused; returns how many objects went."""
    with read(engine) as connection:
        if connection.scalar(sa.select(garbage.c.object_name).limit(1)) is None:
            return 0
    count = 0
    with write(engine) as connection:
        alone(connection, "datasets")
        for name in connection.scalars(sa.select(garbage.c.object_name)).all():
            used = [
                connection.scalar(sa.select(column).where(column == name).limit(1))
                for column in (examples.c.shard, versions.c.object_name)
            ]
            if used == [None, None]:
                store.delete(name)
                count += 1
        connection.execute(garbage.delete())
    return count


def sweeper(store: ObjectStore, clock: Callable[[], datetime]) -> Callable[[], None]:
    """A chore that removes, once an hour, what killed processes left half written in the store."""
    due = clock()

    def sweep() -> None:
        nonlocal due
        now = clock()
        if now < due:
            return
        due = now + _SWEPT_EVERY
        for area in (BUNDLES, EXAMPLES):
            store.remove_unfinished(area, now - _UNFINISHED)

    return sweep
