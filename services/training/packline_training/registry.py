"""The registry: tables that are the truth about Packs, their versions and what was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from packline_core.db import alone, read, write
from packline_core.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound
from packline_core.manifest import Pack, parse_pack
from sqlalchemy.engine import Connection, Engine

from packline_training import garbage, tables
from packline_training.decisions import accept, approve, ask_rollback, decide
from packline_training.domain import (
    Decision,
    DecisionRecord,
    GateOutcome,
    GateResult,
    PackState,
    Version,
    VersionState,
)
from packline_training.rows import decision_row, read_decision, read_state, state_row, version_row

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A bundle that is in the store and is to be registered."""

    digest: str
    object_name: str
    origin: str
    base: str
    run_id: str = ""
    dataset_digest: str = ""
    metrics: Mapping[str, float] | None = None


def dataset_of(pack: Pack) -> str:
    """The name of the dataset that a Pack uses."""
    return pack.spec.data.dataset or pack.name


class Registry:
    """Packs, versions and decisions. Every method is one transaction."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def create(self, pack: Pack, base: NewVersion) -> PackState:
        """Makes a Pack known with its base model as v1, active; a Pack known already stays as it is."""
        now = self._clock()
        first = _numbered(base, 1, VersionState.ACTIVE, now)
        state = PackState(pack.name, pack.spec.task, 1, "v1", now, {"v1": first})
        with write(self._engine) as connection:
            alone(connection, "packs")
            if _pack_row(connection, pack.name) is not None:
                return _load(connection, pack.name)
            connection.execute(
                tables.packs.insert().values(
                    **state_row(state), dataset=dataset_of(pack), manifest=pack.to_json(), cursor=0
                )
            )
            connection.execute(tables.versions.insert().values(pack=pack.name, **version_row(first)))
            return state

    def update_manifest(self, pack: Pack) -> PackState:
        """Takes in a changed manifest.

        Raises:
            FailedPrecondition: It is of another task.
        """
        with write(self._engine) as connection:
            state = _load(connection, pack.name, lock=True)
            if state.task != pack.spec.task:
                raise FailedPrecondition(
                    f"Pack {pack.name} is of task {state.task}; delete it before you apply it with task "
                    f"{pack.spec.task}",
                    reason="TASK_CHANGED",
                    pack=pack.name,
                )
            connection.execute(
                tables.packs.update()
                .where(tables.packs.c.pack == pack.name)
                .values(manifest=pack.to_json(), dataset=dataset_of(pack))
            )
            return state

    def forget(self, name: str) -> None:
        """Removes a Pack with its versions, decisions and runs; its bundles become garbage unless others use them."""
        with write(self._engine) as connection:
            _load(connection, name, lock=True)
            columns = tables.versions.c
            garbage.add(connection, connection.scalars(sa.select(columns.object_name).where(columns.pack == name)))
            connection.execute(tables.packs.delete().where(tables.packs.c.pack == name))

    def state(self, name: str) -> PackState:
        """Where a Pack stands. Raises `NotFound`."""
        with read(self._engine) as connection:
            return _load(connection, name)

    def states(self) -> list[PackState]:
        """Where every Pack stands."""
        with read(self._engine) as connection:
            names = connection.scalars(sa.select(tables.packs.c.pack).order_by(tables.packs.c.pack)).all()
            return [_load(connection, name) for name in names]

    def manifest(self, name: str) -> Pack:
        """A Pack's manifest. Raises `NotFound`."""
        with read(self._engine) as connection:
            row = _pack_row(connection, name)
        if row is None:
            raise _unknown(name)
        return parse_pack(row["manifest"])

    def cursor(self, name: str) -> int:
        """Monitoring's sequence number of the newest correction that was taken in. Raises `NotFound`."""
        with read(self._engine) as connection:
            row = _pack_row(connection, name)
        if row is None:
            raise _unknown(name)
        return int(row["cursor"])

    def names(self) -> list[str]:
        """The names of all Packs."""
        with read(self._engine) as connection:
            return list(connection.scalars(sa.select(tables.packs.c.pack).order_by(tables.packs.c.pack)))

    def register(self, name: str, new: NewVersion, guard: Callable[[Connection], None] | None = None) -> Version:
        """Registers a bundle as the next version; the same bundle keeps the version that it has.

        Args:
            name: The Pack.
            new: The bundle.
            guard: Called within the transaction; what it raises stops it.

        Raises:
            FailedPrecondition: Its digest was rejected before.
        """
        with write(self._engine) as connection:
            if guard is not None:
                guard(connection)
            state = _load(connection, name, lock=True)
            known = [version for version in state.versions.values() if version.digest == new.digest]
            if known and known[0].state is not VersionState.REJECTED:
                return known[0]
            number = 1 + max(version.number for version in state.versions.values())
            version = _numbered(new, number, VersionState.REGISTERED, self._clock())
            accept(state, version)
            connection.execute(tables.versions.insert().values(pack=name, **version_row(version)))
            return version

    def judge(
        self,
        name: str,
        version: str,
        gate: GateResult,
        *,
        dataset: int,
        passed: bool,
        guard: Callable[[Connection], None] | None = None,
    ) -> None:
        """Keeps the gate's judgement, made on the golden snapshot of dataset version number `dataset`.

        Raises:
            Conflict: Another version is active than the one that it was judged against.
        """
        with write(self._engine) as connection:
            if guard is not None:
                guard(connection)
            state = _load(connection, name, lock=True)
            judged = state.version(version)
            if state.active != gate.active_version:
                raise Conflict(
                    f"{version} was compared with {gate.active_version}, but {state.active} is active now; it has to "
                    "be judged again",
                    reason="ACTIVE_CHANGED",
                )
            if judged.state is not VersionState.REGISTERED:
                raise Conflict(f"{version} is {judged.state} by now", reason="VERSION_MOVED_ON")
            after = VersionState.PASSED if passed else VersionState.REGISTERED
            counted = 0 if gate.outcome is GateOutcome.SKIPPED else dataset
            _save_version(connection, name, replace(judged, state=after, gate=gate, gate_dataset=counted))

    def decide(self, name: str, decision: Decision) -> PackState:
        """Makes one decision; the same `decision_id` again changes nothing and returns where the Pack stands.

        Raises:
            Conflict: The Pack's revision changed.
            FailedPrecondition: Its phase does not allow it.
            AlreadyExists: The decision_id was used for another decision.
        """
        with write(self._engine) as connection:
            state = _load(connection, name, lock=True)
            made = _decision(connection, name, decision.decision_id)
            if made is not None:
                if (made.decision.kind, made.decision.version) != (decision.kind, decision.version):
                    raise AlreadyExists(
                        f"decision {decision.decision_id} was {made.decision.kind} of {made.decision.version}; "
                        "choose a new id",
                        reason="DECISION_ID_TAKEN",
                    )
                return state
            now = self._clock()
            after = decide(state, decision, now)
            _save(connection, state, after)
            connection.execute(
                tables.decisions.insert().values(pack=name, **decision_row(decision, now, after.revision))
            )
            return after

    def approve(self, name: str, version: str) -> PackState:
        """Keeps a user's leave for a version. Raises `FailedPrecondition`."""
        return self._wish(name, lambda state: approve(state, version))

    def ask_rollback(self, name: str, version: str) -> PackState:
        """Keeps a user's wish for another version. Raises `FailedPrecondition`."""
        return self._wish(name, lambda state: ask_rollback(state, version))

    def decisions(self, name: str, limit: int) -> list[DecisionRecord]:
        """What was decided, newest first."""
        with read(self._engine) as connection:
            _load(connection, name)
            query = sa.select(tables.decisions).where(tables.decisions.c.pack == name)
            query = query.order_by(tables.decisions.c.revision.desc()).limit(limit)
            return [read_decision(row) for row in connection.execute(query).mappings()]

    def _wish(self, name: str, change: Callable[[PackState], PackState]) -> PackState:
        with write(self._engine) as connection:
            state = _load(connection, name, lock=True)
            after = change(state)
            _save(connection, state, after)
            return after


def _numbered(new: NewVersion, number: int, state: VersionState, now: datetime) -> Version:
    return Version(
        number=number,
        digest=new.digest,
        state=state,
        origin=new.origin,
        base=new.base,
        created_at=now,
        object_name=new.object_name,
        run_id=new.run_id,
        dataset_digest=new.dataset_digest,
        metrics=new.metrics or {},
    )


def _pack_row(connection: Connection, name: str, *, lock: bool = False) -> Mapping[str, Any] | None:
    query = sa.select(tables.packs).where(tables.packs.c.pack == name)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    return None if row is None else dict(row)


def _load(connection: Connection, name: str, *, lock: bool = False) -> PackState:
    row = _pack_row(connection, name, lock=lock)
    if row is None:
        raise _unknown(name)
    versions = sa.select(tables.versions).where(tables.versions.c.pack == name).order_by(tables.versions.c.number)
    rejected = sa.select(tables.rejected.c.digest).where(tables.rejected.c.pack == name)
    return read_state(row, connection.execute(versions).mappings(), connection.scalars(rejected))


def _save(connection: Connection, before: PackState, after: PackState) -> None:
    done = connection.execute(
        tables.packs.update()
        .where(tables.packs.c.pack == before.pack, tables.packs.c.revision == before.revision)
        .values(**state_row(after))
    )
    if done.rowcount != 1:
        raise Conflict(f"Pack {before.pack} changed in between; read it again", reason="REVISION_CHANGED")
    for name, version in after.versions.items():
        if version != before.versions.get(name):
            _save_version(connection, before.pack, version)
    for digest in after.rejected - before.rejected:
        connection.execute(tables.rejected.insert().values(pack=before.pack, digest=digest))


def _save_version(connection: Connection, pack: str, version: Version) -> None:
    columns = tables.versions.c
    connection.execute(
        tables.versions.update()
        .where(columns.pack == pack, columns.number == version.number)
        .values(**version_row(version))
    )


def _decision(connection: Connection, pack: str, decision_id: str) -> DecisionRecord | None:
    columns = tables.decisions.c
    query = sa.select(tables.decisions).where(columns.pack == pack, columns.decision_id == decision_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else read_decision(row)


def _unknown(name: str) -> NotFound:
    return NotFound(f"no Pack {name!r} is registered; apply its manifest first", reason="PACK_NOT_FOUND", pack=name)
