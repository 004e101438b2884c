"""Housekeeping: payloads past their Pack's retention, rows and sums past theirs, erasures that training still owes."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from packline_core import db
from packline_core.errors import NotFound, PacklineError, Unavailable
from packline_core.manifest import Recording
from packline_core.units import parse_duration
from sqlalchemy.engine import Connection

from packline_monitoring.config import Limits
from packline_monitoring.erasure import Erasure, scrub
from packline_monitoring.payloads import Payloads
from packline_monitoring.references import remove_unnamed
from packline_monitoring.shared import Shared
from packline_monitoring.tables import corrections, erased, packs, predictions, tallies
from packline_monitoring.tallies import HOUR, MINUTE

logger = logging.getLogger(__name__)

_CHUNK = 500
# Writing one payload takes seconds; what is older was left by a killed process.
_UNFINISHED = timedelta(hours=1)
_DEFAULT = parse_duration(Recording().retention)


class Housekeeping:
    """What removes by itself, in small transactions between the others."""

    def __init__(self, shared: Shared, erasure: Erasure) -> None:
        self._shared = shared
        self._erasure = erasure
        self._swept_at: datetime | None = None

    async def run(self) -> None:
        """Rounds without end, until cancelled."""
        while True:
            try:
                await self.round()
            except PacklineError as error:
                logger.warning("housekeeping is put off: %s", error.message)
            except Exception:  # one bad round must not be the last
                logger.exception("a round of housekeeping failed")
            await asyncio.sleep(self._shared.limits.pause)

    async def round(self) -> None:
        """One round: removes all that is due now. What one Pack meets does not keep the others from theirs."""
        now, limits = self._shared.clock(), self._shared.limits
        for pack in await self._shared.threads.run(self._packs):
            try:
                await self._tidy(pack, now)
            except PacklineError as error:
                logger.warning("housekeeping of Pack %s is put off: %s", pack, error.message)
        await self._shared.writer.write(lambda c: drop_sums(c, now, limits))
        if self._swept_at is None or now - self._swept_at >= limits.sweep:
            await self.sweep()
            self._swept_at = now
        await self._shared.threads.run(lambda: scrub(self._shared.engine))

    async def _tidy(self, pack: str, now: datetime) -> None:
        await self._erasure.finish(pack)
        retention, payloads = await self._retention(pack), self._shared.payloads
        await self._all(partial(expire, payloads, pack, now - retention))
        await self._all(partial(drop_rows, payloads, pack, now - max(self._shared.limits.rows, retention)))

    async def sweep(self) -> None:
        """Removes payloads that no row names: a process was killed between putting them and committing the row."""
        before = self._shared.clock() - _UNFINISHED
        await self._shared.threads.run(lambda: self._shared.payloads.remove_unfinished(before))
        names = iter(await self._shared.threads.run(lambda: list(self._shared.payloads.names())))
        while part := list(itertools.islice(names, _CHUNK)):
            if count := await self._shared.writer.write(partial(self._remove, part)):
                logger.info("removed %d payloads that no prediction names", count)

    def _remove(self, keys: Iterable[tuple[str, str]], connection: Connection) -> int:
        return remove_unnamed(connection, self._shared.payloads, keys)

    async def _all(self, step: Callable[[Connection], int]) -> None:
        while await self._shared.writer.write(step) == _CHUNK:
            pass

    def _packs(self) -> list[str]:
        with db.read(self._shared.engine) as connection:
            return list(connection.scalars(sa.select(packs.c.name).order_by(packs.c.name)))

    async def _retention(self, pack: str) -> timedelta:
        try:
            return (await self._shared.directory.facts(pack)).retention
        except (NotFound, Unavailable):
            return _DEFAULT


def expire(payloads: Payloads, pack: str, before: datetime, connection: Connection) -> int:
    """Lets some payloads and answers older than `before` go, unless a correction is about them."""
    pinned = sa.select(corrections.c.sequence).where(
        corrections.c.pack == pack, corrections.c.payload_digest == predictions.c.payload_digest
    )
    due = connection.execute(
        sa.select(predictions.c.prediction_id, predictions.c.payload_digest)
        .where(
            predictions.c.pack == pack,
            predictions.c.at < before,
            predictions.c.payload_digest.is_not(None),
            ~pinned.exists(),
        )
        .order_by(predictions.c.at)
        .limit(_CHUNK)
    ).all()
    if due:
        ids = [row.prediction_id for row in due]
        gone: dict[str, Any] = {"payload_digest": None, "answer_json": ""}
        of = (predictions.c.pack == pack) & predictions.c.prediction_id.in_(ids)
        connection.execute(sa.update(predictions).where(of).values(gone))
        remove_unnamed(connection, payloads, {(pack, row.payload_digest) for row in due})
    return len(due)


def drop_rows(payloads: Payloads, pack: str, before: datetime, connection: Connection) -> int:
    """Removes some predictions older than `before` that have no correction."""
    corrected = sa.select(corrections.c.sequence).where(
        corrections.c.pack == pack, corrections.c.prediction_id == predictions.c.prediction_id
    )
    due = (
        sa.select(predictions.c.prediction_id)
        .where(predictions.c.pack == pack, predictions.c.at < before, ~corrected.exists())
        .limit(_CHUNK)
    )
    statement = sa.delete(predictions).where(predictions.c.pack == pack, predictions.c.prediction_id.in_(due))
    digests = connection.scalars(statement.returning(predictions.c.payload_digest)).all()
    remove_unnamed(connection, payloads, {(pack, digest) for digest in digests if digest})
    return len(digests)


def drop_sums(connection: Connection, now: datetime, limits: Limits) -> None:
    """Removes sums and marks of erased predictions that no question reaches any more."""
    # A day more than is read minute by minute, so that no reading meets the edge.
    for unit, kept in ((MINUTE, limits.minutes + timedelta(days=1)), (HOUR, limits.hours)):
        before = int((now - kept).timestamp())
        connection.execute(sa.delete(tallies).where(tallies.c.unit == unit, tallies.c.start < before))
    connection.execute(sa.delete(erased).where(erased.c.erased_at < now - limits.rows))
