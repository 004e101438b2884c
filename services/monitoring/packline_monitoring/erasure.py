"""Erasure: one prediction or payload with all its traces, here and in training, or all that a Pack has."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from packline_core import db
from packline_core.errors import DeadlineExceeded, NotFound, Unavailable
from sqlalchemy.engine import Connection, Engine

from packline_monitoring.checks import check_pack, check_traces
from packline_monitoring.corrections import next_sequence
from packline_monitoring.domain import Erased, Traces
from packline_monitoring.payloads import Payloads
from packline_monitoring.predictions import insert_into, know_packs, prediction_hash
from packline_monitoring.references import remove_unnamed
from packline_monitoring.shared import Shared
from packline_monitoring.tables import corrections, erased, erasures, packs, predictions, tallies

logger = logging.getLogger(__name__)

_CHUNK = 1000


class Erasure:
    """What removes on request."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def erase(self, traces: Traces) -> Erased:
        """Erases a prediction, or everything of one payload. Done again, it removes nothing more.

        Training's part is written down with the removal here, so that it is done sooner or later whatever happens.
        """
        check_traces(traces)
        now = self._shared.clock()
        removed = await self._shared.writer.write(lambda c: remove(c, self._shared.payloads, traces, now))
        in_training = await self.finish(traces.pack)
        await self._shared.threads.run(lambda: scrub(self._shared.engine))
        return Erased(removed + (in_training or 0), pending_in_training=in_training is None)

    async def finish(self, pack: str) -> int | None:
        """Has training remove what is still to be removed of a Pack; None where it does not answer."""
        keys = await self._shared.threads.run(lambda: self._pending(pack))
        if not keys:
            return 0
        try:
            count = await self._shared.training.erase_examples(pack, keys)
        except (Unavailable, DeadlineExceeded) as error:
            logger.warning("training does not answer, %d erasures of Pack %s wait: %s", len(keys), pack, error.message)
            return None
        except NotFound:
            count = 0
        await self._shared.writer.write(lambda c: settle(c, pack, keys))
        return count

    async def forget(self, pack: str) -> None:
        """Forgets all of a Pack, in pieces, so that other writes go on. Stopped half-way, it is simply called again."""
        check_pack(pack)
        now = self._shared.clock()
        await self._shared.writer.write(lambda c: _shut(c, pack, now))
        for table in (predictions, corrections, erased, erasures, tallies):
            while await self._shared.writer.write(lambda c, table=table: self._forget_part(c, table, pack)):  # type: ignore[misc]
                pass
        self._shared.directory.forget(pack)
        await self._shared.threads.run(lambda: scrub(self._shared.engine))

    def _pending(self, pack: str) -> list[str]:
        query = sa.select(erasures.c.example_key).where(erasures.c.pack == pack).limit(_CHUNK)
        with db.read(self._shared.engine) as connection:
            return [str(key) for key in connection.scalars(query)]

    def _forget_part(self, connection: Connection, table: sa.Table, pack: str) -> int:
        key = sa.tuple_(*table.primary_key.columns)
        some = sa.select(*table.primary_key.columns).where(table.c.pack == pack).limit(_CHUNK)
        digest = table.c.get("payload_digest")
        statement = sa.delete(table).where(key.in_(some))
        if digest is None:
            return int(connection.execute(statement).rowcount)
        digests = connection.scalars(statement.returning(digest)).all()
        remove_unnamed(connection, self._shared.payloads, {(pack, name) for name in digests if name})
        return len(digests)


def remove(connection: Connection, payloads: Payloads, traces: Traces, now: datetime) -> int:
    """Removes rows and payloads, notes what training has to remove, and returns how many went."""
    pack = traces.pack
    ids = {traces.prediction_id}
    rows: list[Any] = []
    cases: list[Any] = []
    removed = sa.delete(corrections).returning(corrections.c.payload_digest, corrections.c.example_key)
    if traces.digest:
        of_payload = [_of_payload(table, traces) for table in (predictions, corrections)]
        ids = {str(name) for query in of_payload for name in connection.scalars(query)} - {""}
        told = (corrections.c.pack == pack) & (corrections.c.payload_digest == traces.digest)
        cases += connection.execute(removed.where(told)).all()
    for part in _parts(sorted(ids)):
        told = (corrections.c.pack == pack) & corrections.c.prediction_id.in_(part)
        cases += connection.execute(removed.where(told)).all()
        found = predictions.c.prediction_id.in_(part) | predictions.c.shadow_of.in_(part)
        statement = sa.delete(predictions).where(predictions.c.pack == pack, found)
        rows += connection.execute(statement.returning(predictions.c.payload_digest)).all()
    if ids:
        know_packs(connection, [pack])
        marks = [{"pack": pack, "prediction_hash": prediction_hash(name), "erased_at": now} for name in sorted(ids)]
        connection.execute(insert_into(connection, erased).on_conflict_do_nothing(), marks)
    if keys := {row.example_key for row in cases}:
        waiting = [{"pack": pack, "example_key": key, "asked_at": now} for key in sorted(keys)]
        connection.execute(insert_into(connection, erasures).on_conflict_do_nothing(), waiting)
    digests = {(pack, row.payload_digest) for row in (*rows, *cases) if row.payload_digest}
    return len(rows) + len(cases) + remove_unnamed(connection, payloads, digests)


def settle(connection: Connection, pack: str, keys: list[str]) -> None:
    """Training has removed these examples. Corrections of others that speak of the same come again as new ones."""
    connection.execute(sa.delete(erasures).where(erasures.c.pack == pack, erasures.c.example_key.in_(keys)))
    left = sa.select(corrections.c.sequence).where(corrections.c.pack == pack, corrections.c.example_key.in_(keys))
    for sequence in connection.scalars(left.order_by(corrections.c.sequence)).all():
        renewed = sa.update(corrections).where(corrections.c.pack == pack, corrections.c.sequence == sequence)
        connection.execute(renewed.values(sequence=next_sequence(connection, pack)))


def scrub(engine: Engine) -> bool:
    """Empties SQLite's write-ahead log, which still holds what was deleted; False where a reader is in the way."""
    if engine.dialect.name != "sqlite":
        return True
    raw: Any = engine.raw_connection()
    try:
        busy, _, _ = raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        raw.close()
    return not busy


def _parts(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _CHUNK):
        yield names[start : start + _CHUNK]


def _of_payload(table: sa.Table, traces: Traces) -> sa.Select[Any]:
    return sa.select(table.c.prediction_id).where(table.c.pack == traces.pack, table.c.payload_digest == traces.digest)


def _shut(connection: Connection, pack: str, now: datetime) -> None:
    know_packs(connection, [pack])
    nothing = {"task": None, "retention_seconds": None, "sequence": 0, "forgotten_at": now}
    connection.execute(sa.update(packs).where(packs.c.name == pack).values(nothing))
