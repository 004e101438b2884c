"""Dataset versions: which examples each holds, in tables; their contents lie in shards.

A version is never changed, except that erased examples leave all versions. A key keeps its part for ever, so that a
golden example is never trained on, whatever `goldenShare` becomes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import sqlalchemy as sa
from packline_core.db import alone, read, write
from packline_core.errors import Unavailable
from packline_core.store import ObjectStore
from sqlalchemy.engine import Connection, Engine

from packline_training import garbage
from packline_training.domain import DatasetVersion
from packline_training.rows import read_dataset
from packline_training.shards import Place, ShardWriter, StoredExamples, read_shard
from packline_training.splitting import dataset_digest
from packline_training.tables import dataset_versions, examples, packs

logger = logging.getLogger(__name__)

Found = tuple[str, str, bool, Place]
_BATCH = 500
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a Pack's corrections add: how many were taken in, and where reading them goes on."""

    pack: str
    taken: int
    cursor: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit's outcome: the newest version, None where the dataset is still empty, and what changed."""

    version: DatasetVersion | None
    added: int
    replaced: int


@dataclass(frozen=True, slots=True)
class Golden:
    """A golden snapshot: examples that were golden at the active version's own gate, and those that came since."""

    old: StoredExamples
    new: StoredExamples


class Datasets:
    """The datasets of an installation. Every method is one transaction."""

    def __init__(self, engine: Engine, store: ObjectStore, store_url: str, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._store = store
        self._url = store_url
        self._clock = clock

    def known(self, dataset: str, *, ever: bool = False) -> Iterator[tuple[str, str, bool]]:
        """Key, truth digest and part of the newest version's examples, or of those that any version holds."""
        columns = examples.c
        held = columns.dataset == dataset if ever else _current(dataset)
        query = sa.select(columns.key, columns.truth, columns.golden).where(held).distinct()
        with read(self._engine) as connection:
            for row in connection.execute(query.execution_options(yield_per=_BATCH)):
                yield row.key, row.truth, row.golden

    def commit(
        self, dataset: str, found: Iterable[Found], origin: str, corrections: Corrections | None = None
    ) -> Committed:
        """Makes a version of what was read, all at once; where nothing changed the newest one stays.

        Args:
            dataset: Its name.
            found: What `reading` listed, by key; the shards are in the store.
            origin: `import` or `corrections`.
            corrections: Noted in the same transaction.

        Raises:
            Unavailable: A shard has gone from the store in between; read again.
        """
        with write(self._engine) as connection:
            alone(connection, "datasets")
            newest = _newest(connection, dataset)
            number = 1 + (newest.number if newest else 0)
            added, replaced, shards = 0, 0, set()
            for batch in _batches(found):
                fresh, outdated = _changes(connection, dataset, batch, number)
                added += len(fresh) - len(outdated)
                replaced += len(outdated)
                shards |= {row["shard"] for row in fresh}
                _replace(connection, dataset, number, fresh, outdated)
            taken = 0
            if corrections is not None:
                taken = corrections.taken
                connection.execute(
                    packs.update().where(packs.c.pack == corrections.pack).values(cursor=corrections.cursor)
                )
            if missing := [shard for shard in shards if not self._store.exists(shard)]:
                raise Unavailable(f"{missing[0]} has gone from the store meanwhile; try again", reason="SHARD_LOST")
            if not added and not replaced:
                return Committed(newest, 0, 0)
            total = (newest.corrections if newest else 0) + taken
            row = {"number": number, "created_at": self._clock(), "origin": origin, "corrections": total}
            row |= {"digest": _digest(connection, dataset), **_counts(connection, dataset, number)}
            connection.execute(dataset_versions.insert().values(dataset=dataset, **row))
            return Committed(read_dataset(row), added, replaced)

    def versions(self, dataset: str, limit: int) -> list[DatasetVersion]:
        """Newest first."""
        query = sa.select(dataset_versions).where(dataset_versions.c.dataset == dataset)
        query = query.order_by(dataset_versions.c.number.desc()).limit(limit)
        with read(self._engine) as connection:
            return [read_dataset(row) for row in connection.execute(query).mappings()]

    def newest(self, dataset: str) -> DatasetVersion | None:
        """The newest version, None while there is none."""
        with read(self._engine) as connection:
            return _newest(connection, dataset)

    def named(self, dataset: str, digest: str) -> DatasetVersion | None:
        """The newest version of that digest."""
        query = sa.select(dataset_versions).where(dataset_versions.c.dataset == dataset)
        query = query.where(dataset_versions.c.digest == digest).order_by(dataset_versions.c.number.desc()).limit(1)
        with read(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else read_dataset(row)

    def training(self, dataset: str, number: int) -> StoredExamples:
        """The training part of a version."""
        with read(self._engine) as connection:
            return StoredExamples(self._url, _places(connection, _held(dataset, number), ~examples.c.golden))

    def golden(self, dataset: str, number: int, judged: int) -> Golden:
        """The golden part of a version; `judged` is the number of the dataset version that judged active, or 0."""
        held = (_held(dataset, number), examples.c.golden)
        with read(self._engine) as connection:
            old = _places(connection, *held, examples.c.since <= judged)
            new = _places(connection, *held, examples.c.since > judged)
        return Golden(StoredExamples(self._url, old), StoredExamples(self._url, new))

    def erase(self, dataset: str, keys: Sequence[str]) -> int:
        """Removes examples from every version and from the store; returns how many there were. A payload's digest
        stands for all of its pages.

        The shards that held them are written anew. A version keeps its digest, which names what it once held.
        """
        with write(self._engine) as connection:
            alone(connection, "datasets")
            gone: set[str] = set()
            shards: set[str] = set()
            for batch in _batches(keys):
                pages = [examples.c.key.startswith(f"{key}#", autoescape=True) for key in batch]
                these = (examples.c.dataset == dataset, sa.or_(examples.c.key.in_(batch), *pages))
                for row in connection.execute(sa.select(examples.c.key, examples.c.shard).where(*these)):
                    gone.add(row.key)
                    shards.add(row.shard)
                connection.execute(examples.delete().where(*these))
            for shard in shards:
                self._rewrite(connection, shard)
            garbage.add(connection, shards)
            for version in connection.scalars(
                sa.select(dataset_versions.c.number).where(dataset_versions.c.dataset == dataset)
            ).all():
                connection.execute(
                    dataset_versions.update()
                    .where(dataset_versions.c.dataset == dataset, dataset_versions.c.number == version)
                    .values(**_counts(connection, dataset, version))
                )
        garbage.collect(self._engine, self._store)
        return len(gone)

    def forget(self, dataset: str) -> None:
        """Removes a dataset, unless a Pack still uses it."""
        with write(self._engine) as connection:
            if connection.scalar(sa.select(sa.func.count()).select_from(packs).where(packs.c.dataset == dataset)):
                return
            shards = connection.scalars(sa.select(examples.c.shard).where(examples.c.dataset == dataset).distinct())
            garbage.add(connection, set(shards))
            connection.execute(examples.delete().where(examples.c.dataset == dataset))
            connection.execute(dataset_versions.delete().where(dataset_versions.c.dataset == dataset))
        garbage.collect(self._engine, self._store)

    def _rewrite(self, connection: Connection, shard: str) -> None:
        """Writes what rows still refer to into a new shard. Datasets that import the same files share shards."""
        columns = examples.c
        kept = sorted(connection.scalars(sa.select(columns.row).where(columns.shard == shard).distinct()))
        if not kept:
            return
        wanted = set(kept)
        with TemporaryDirectory() as folder:
            writer = ShardWriter(self._store, Path(folder))
            places: list[Place] = []
            for row, example in enumerate(read_shard(self._store, shard)):
                if row in wanted:
                    places += [place for _, place in writer.add(example)]
            places += [place for _, place in writer.finish()]
        for row, place in zip(kept, places, strict=True):
            connection.execute(
                examples.update()
                .where(columns.shard == shard, columns.row == row)
                .values(shard=place.shard, row=place.row)
            )


def _current(dataset: str) -> sa.ColumnElement[bool]:
    return sa.and_(examples.c.dataset == dataset, examples.c.until.is_(None))


def _held(dataset: str, number: int) -> sa.ColumnElement[bool]:
    """What version `number` holds."""
    columns = examples.c
    return sa.and_(
        columns.dataset == dataset,
        columns.since <= number,
        sa.or_(columns.until.is_(None), columns.until > number),
    )


def _newest(connection: Connection, dataset: str) -> DatasetVersion | None:
    query = sa.select(dataset_versions).where(dataset_versions.c.dataset == dataset)
    row = connection.execute(query.order_by(dataset_versions.c.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else read_dataset(row)


def _changes(
    connection: Connection, dataset: str, batch: Sequence[Found], number: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows to insert and the keys whose newest label they replace, as the tables are now."""
    columns = examples.c
    keys = [key for key, *_ in batch]
    query = sa.select(columns.key, columns.truth, columns.golden).where(_current(dataset), columns.key.in_(keys))
    there = {row.key: row for row in connection.execute(query)}
    fresh, outdated = [], []
    for key, truth, golden, place in batch:
        known = there.get(key)
        if known is not None and known.truth == truth:
            continue
        if known is not None:
            outdated.append(key)
        part = known.golden if known is not None else golden
        fresh.append({"key": key, "truth": truth, "golden": part, "shard": place.shard, "row": place.row})
    return [{"dataset": dataset, "since": number, **row} for row in fresh], outdated


def _replace(
    connection: Connection, dataset: str, number: int, fresh: list[dict[str, Any]], outdated: list[str]
) -> None:
    if outdated:
        these = (_current(dataset), examples.c.key.in_(outdated))
        connection.execute(examples.update().where(*these).values(until=number))
    if fresh:
        connection.execute(examples.insert(), fresh)


def _places(connection: Connection, *conditions: sa.ColumnElement[bool]) -> list[Place]:
    query = sa.select(examples.c.shard, examples.c.row).where(*conditions)
    return [Place(row.shard, row.row) for row in connection.execute(query.order_by(examples.c.shard, examples.c.row))]


def _digest(connection: Connection, dataset: str) -> str:
    # Sorted here: databases differ in how they order text.
    query = sa.select(examples.c.key, examples.c.truth).where(_current(dataset))
    return dataset_digest(sorted((row.key, row.truth) for row in connection.execute(query)))


def _counts(connection: Connection, dataset: str, number: int) -> dict[str, int]:
    query = sa.select(examples.c.golden, sa.func.count()).where(_held(dataset, number)).group_by(examples.c.golden)
    counts = {bool(golden): count for golden, count in connection.execute(query)}
    return {"training_examples": counts.get(False, 0), "golden_examples": counts.get(True, 0)}


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
