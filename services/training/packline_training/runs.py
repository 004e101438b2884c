"""Runs in their table: started once, taken up under a lease, one at a time, changed by the lease's holder alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from packline_core.db import alone, read, write
from packline_core.errors import AlreadyExists, Conflict, NotFound
from sqlalchemy.engine import Connection, Engine

from packline_training.domain import Run, RunKind, RunState
from packline_training.rows import read_run
from packline_training.tables import packs, runs, versions

# A run whose process is lost this often is broken, not unlucky.
MOST_ATTEMPTS = 6


class LeaseLost(Conflict):
    """The run belongs to another driver by now, or has ended; whoever gets this stops at once."""

    default_reason = "LEASE_LOST"


class Runs:
    """The table of runs. Every method is one transaction."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def start(self, pack: str, run_id: str, kind: RunKind, reason: str, version: str = "") -> Run:
        """Queues a run, or returns the one that `run_id` named before.

        Raises:
            NotFound: No such Pack, or no such version to judge.
            AlreadyExists: The run_id named a run of another kind or version.
        """
        with write(self._engine) as connection:
            if connection.scalar(sa.select(packs.c.pack).where(packs.c.pack == pack).with_for_update()) is None:
                raise NotFound(f"no Pack {pack!r} is registered; apply its manifest first", reason="PACK_NOT_FOUND")
            known = _find(connection, pack, run_id)
            if known is not None:
                if known.kind is not kind or (kind is RunKind.GATE and known.version != version):
                    raise AlreadyExists(f"run {run_id} of Pack {pack} is another one; choose a new run_id")
                return known
            if kind is RunKind.GATE:
                numbers = connection.scalars(sa.select(versions.c.number).where(versions.c.pack == pack))
                if version not in {f"v{number}" for number in numbers}:
                    raise NotFound(
                        f"Pack {pack} has no version {version or '(none named)'}", reason="VERSION_NOT_FOUND"
                    )
            run = Run(pack, run_id, kind, RunState.QUEUED, reason, self._clock(), version=version, stage="waiting")
            connection.execute(runs.insert().values(**_row(run), owner="", lease_until=None))
            return run

    def get(self, pack: str, run_id: str) -> Run:
        """A run. Raises `NotFound`."""
        with read(self._engine) as connection:
            return _get(connection, pack, run_id)

    def list(self, pack: str, limit: int) -> list[Run]:
        """A Pack's runs, newest first."""
        query = sa.select(runs).where(runs.c.pack == pack).order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
        with read(self._engine) as connection:
            return [read_run(row) for row in connection.execute(query.limit(limit)).mappings()]

    def claim(self, owner: str, lease: timedelta) -> Run | None:
        """Takes up the next run: one whose holder was lost, or else the one that waits longest.

        None where nothing waits, or where a run is under way: a fleet has one at a time.
        """
        now = self._clock()
        with write(self._engine) as connection:
            alone(connection, "runs")
            order = runs.c.created_at, runs.c.run_id
            under_way = sa.select(runs).where(runs.c.state == RunState.RUNNING).order_by(*order)
            lost = list(connection.execute(under_way).mappings())
            if any(row["lease_until"] > now for row in lost):
                return None
            for row in lost:
                if row["attempts"] >= MOST_ATTEMPTS:
                    words = f"its process was lost {row['attempts']} times; see the log of training"
                    _update(
                        connection, read_run(row), state=RunState.FAILED, message=words, ended_at=now, stage="ended"
                    )
            lost = [row for row in lost if row["attempts"] < MOST_ATTEMPTS]
            waiting = sa.select(runs).where(runs.c.state == RunState.QUEUED).order_by(*order).limit(1)
            rows = lost or list(connection.execute(waiting).mappings())
            if not rows:
                return None
            run = read_run(rows[0])
            _update(
                connection,
                run,
                state=RunState.RUNNING,
                owner=owner,
                lease_until=now + lease,
                started_at=run.started_at or now,
                attempts=run.attempts + 1,
            )
            return _get(connection, run.pack, run.run_id)

    def renew(self, run: Run, owner: str, lease: timedelta) -> bool:
        """Renews a lease; tells whether the run was called off. Raises `LeaseLost`."""
        return self.change(run, owner, lease_until=self._clock() + lease).cancel_requested

    def change(self, run: Run, owner: str, **values: Any) -> Run:
        """Changes columns of a run, by its holder. Raises `LeaseLost`."""
        with write(self._engine) as connection:
            _hold(connection, run, owner)
            _update(connection, run, **values)
            return _get(connection, run.pack, run.run_id)

    def guard(self, run: Run, owner: str) -> Callable[[Connection], None]:
        """A check for another table's transaction: raises `LeaseLost` unless the run is still the owner's."""
        return lambda connection: _hold(connection, run, owner)

    def finish(self, run: Run, owner: str, state: RunState, message: str, **values: Any) -> Run:
        """Ends a run, by its holder; a training's end is noted at its Pack. Raises `LeaseLost`."""
        now = self._clock()
        with write(self._engine) as connection:
            _hold(connection, run, owner)
            percent = {"percent": 100.0} if state is RunState.SUCCEEDED else {}
            ended = {"state": state, "message": message, "ended_at": now, "stage": "ended", "eta": None}
            _update(connection, run, **ended, **percent, **values)
            if run.kind is RunKind.TRAIN:
                connection.execute(
                    packs.update()
                    .where(packs.c.pack == run.pack)
                    .values(last_training_at=now, trained_corrections=packs.c.cursor)
                )
            return _get(connection, run.pack, run.run_id)

    def cancel(self, pack: str, run_id: str) -> Run:
        """Calls a run off: at once while it waits, at its holder's next heartbeat while it runs."""
        with write(self._engine) as connection:
            alone(connection, "runs")
            run = _get(connection, pack, run_id)
            if run.state is RunState.QUEUED:
                ended = {"ended_at": self._clock(), "message": "called off before it began", "stage": "ended"}
                _update(connection, run, state=RunState.CANCELLED, cancel_requested=True, **ended)
            elif run.state is RunState.RUNNING:
                _update(connection, run, cancel_requested=True)
            return _get(connection, pack, run_id)


def _row(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in Run.__slots__}


def _find(connection: Connection, pack: str, run_id: str) -> Run | None:
    query = sa.select(runs).where(runs.c.pack == pack, runs.c.run_id == run_id)
    row: Mapping[Any, Any] | None = connection.execute(query).mappings().one_or_none()
    return None if row is None else read_run(row)


def _get(connection: Connection, pack: str, run_id: str) -> Run:
    run = _find(connection, pack, run_id)
    if run is None:
        raise NotFound(f"Pack {pack!r} has no run {run_id!r}", reason="RUN_NOT_FOUND", pack=pack, run_id=run_id)
    return run


def _update(connection: Connection, run: Run, **values: Any) -> None:
    connection.execute(runs.update().where(runs.c.pack == run.pack, runs.c.run_id == run.run_id).values(**values))


def _hold(connection: Connection, run: Run, owner: str) -> None:
    held = (
        runs.c.pack == run.pack,
        runs.c.run_id == run.run_id,
        runs.c.owner == owner,
        runs.c.state == RunState.RUNNING,
    )
    if connection.scalar(sa.select(runs.c.run_id).where(*held).with_for_update()) is None:
        raise LeaseLost(f"run {run.run_id} of Pack {run.pack} is not this driver's any more")
