"""What monitoring must know of each Pack, asked of training and remembered for when it is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from packline_core import db
from packline_core.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from packline_core.manifest import Recording
from packline_core.units import parse_duration
from sqlalchemy.engine import Engine

from packline_monitoring.domain import PackFacts
from packline_monitoring.load import Threads
from packline_monitoring.predictions import know_packs
from packline_monitoring.tables import packs
from packline_monitoring.training import Training
from packline_monitoring.writer import Writer

_FRESH = timedelta(seconds=30)


class PackDirectory:
    """Facts about Packs."""

    def __init__(
        self, training: Training, engine: Engine, writer: Writer, threads: Threads, clock: Callable[[], datetime]
    ) -> None:
        self._training = training
        self._engine = engine
        self._writer = writer
        self._threads = threads
        self._clock = clock
        self._fresh: dict[str, tuple[datetime, PackFacts]] = {}

    async def facts(self, pack: str) -> PackFacts:
        """A Pack's facts.

        Raises:
            NotFound: Training knows no such Pack.
            Unavailable: Training is away, and the Pack was never asked about before.
        """
        asked_at, facts = self._fresh.get(pack, (None, None))
        if asked_at is not None and facts is not None and self._clock() - asked_at < _FRESH:
            return facts
        try:
            current = read_facts(await self._training.manifest(pack))
        except (Unavailable, DeadlineExceeded) as error:
            remembered = facts or await self._threads.run(lambda: self._remembered(pack))
            if remembered is None:
                raise Unavailable(
                    f"what Pack {pack} is cannot be asked, since training does not answer ({error.message}); "
                    "try again in a moment",
                    reason="TRAINING_UNAVAILABLE",
                    pack=pack,
                ) from error
            return remembered
        if current != facts:
            await self._remember(pack, current)
        self._fresh[pack] = (self._clock(), current)
        return current

    def forget(self, pack: str) -> None:
        """Asks anew the next time."""
        self._fresh.pop(pack, None)

    def _remembered(self, pack: str) -> PackFacts | None:
        with db.read(self._engine) as connection:
            row = connection.execute(
                sa.select(packs.c.task, packs.c.retention_seconds).where(packs.c.name == pack)
            ).one_or_none()
        return PackFacts(row.task, timedelta(seconds=row.retention_seconds)) if row and row.task else None

    async def _remember(self, pack: str, facts: PackFacts) -> None:
        def job(connection: sa.Connection) -> None:
            know_packs(connection, [pack])
            values = {"task": facts.task, "retention_seconds": int(facts.retention.total_seconds())}
            connection.execute(sa.update(packs).where(packs.c.name == pack).values(values))

        await self._writer.write(job)


def read_facts(manifest_json: str) -> PackFacts:
    """What monitoring reads in a manifest that training has checked.

    Raises:
        FailedPrecondition: It is not of the form that this version knows.
    """
    try:
        spec = json.loads(manifest_json)["spec"]
        recording = Recording.model_validate(spec.get("recording") or {})
        return PackFacts(spec["task"], parse_duration(recording.retention))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FailedPrecondition(
            f"training holds a manifest that monitoring cannot read ({error}); bring both to the same version",
            reason="MANIFEST_UNREADABLE",
        ) from error
