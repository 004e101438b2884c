"""Predictions in the tables: inserted once each, and folded into the sums with the same transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from packline_monitoring.domain import Prediction
from packline_monitoring.tables import erased, packs, predictions, tallies
from packline_monitoring.tallies import Amount, Key, fold

_CHUNK = 500


def insert_into(connection: Connection, table: sa.Table) -> Any:
    """An INSERT that can say ON CONFLICT, in this database's dialect."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert(
    connection: Connection, batch: Sequence[tuple[Prediction, str | None]], dropped: Mapping[Key, Amount]
) -> list[Prediction]:
    """Inserts predictions, each with its payload's digest, and returns those that are new and wanted."""
    know_packs(connection, {p.pack for p, _ in batch} | {key.pack for key in dropped})
    wanted = _beside(connection, _wanted(connection, batch))
    if wanted:
        # ON CONFLICT is not reached while one process writes; it keeps a second one from failing the batch.
        statement = insert_into(connection, predictions).on_conflict_do_nothing()
        connection.execute(statement, [_row(p, digest) for p, digest in wanted])
    recorded = [p if digest else replace(p, answer_json="") for p, digest in wanted]
    add(connection, fold(recorded))
    add(connection, dropped)
    return recorded


def know_packs(connection: Connection, names: Iterable[str]) -> None:
    """Makes sure that each Pack has its row."""
    if rows := [{"name": name} for name in sorted(names)]:
        connection.execute(insert_into(connection, packs).on_conflict_do_nothing(), rows)


def add(connection: Connection, sums: Mapping[Key, Amount]) -> None:
    """Adds sums to those in the table."""
    if not sums:
        return
    statement = insert_into(connection, tallies)
    statement = statement.on_conflict_do_update(
        index_elements=list(tallies.primary_key.columns),
        set_={
            "count": tallies.c.count + statement.excluded.count,
            "total": tallies.c.total + statement.excluded.total,
        },
    )
    names = [column.name for column in tallies.primary_key.columns]
    rows = [
        {**{name: getattr(key, name) for name in names}, "count": amount.count, "total": amount.total}
        for key, amount in sums.items()
    ]
    # One order for all writers, so that two of them never wait for each other.
    connection.execute(statement, sorted(rows, key=lambda row: [row[name] for name in names]))


def prediction_hash(prediction_id: str) -> str:
    """What is remembered of an erased prediction."""
    return hashlib.sha256(prediction_id.encode()).hexdigest()


def is_erased(connection: Connection, pack: str, prediction_ids: Collection[str]) -> set[str]:
    """Which of these predictions have been erased."""
    of = {prediction_hash(name): name for name in prediction_ids}
    found: set[str] = set()
    hashes = list(of)
    for start in range(0, len(hashes), _CHUNK):
        part = hashes[start : start + _CHUNK]
        query = sa.select(erased.c.prediction_hash).where(erased.c.pack == pack, erased.c.prediction_hash.in_(part))
        found.update(of[value] for value in connection.scalars(query))
    return found


def _wanted(
    connection: Connection, batch: Sequence[tuple[Prediction, str | None]]
) -> list[tuple[Prediction, str | None]]:
    wanted = []
    for pack in sorted({p.pack for p, _ in batch}):
        of_pack = [(p, digest) for p, digest in batch if p.pack == pack]
        known = _known(connection, pack, [p.prediction_id for p, _ in of_pack])
        forgotten: datetime | None = connection.scalar(sa.select(packs.c.forgotten_at).where(packs.c.name == pack))
        has_erased = connection.scalar(sa.select(erased.c.pack).where(erased.c.pack == pack).limit(1)) is not None
        # A shadow's record goes where its request's went.
        names = {name for p, _ in of_pack for name in (p.prediction_id, p.shadow_of) if name} if has_erased else set()
        unwanted = known | is_erased(connection, pack, names)
        wanted += [
            (p, digest)
            for p, digest in of_pack
            if p.prediction_id not in unwanted
            and p.shadow_of not in unwanted - known
            and (forgotten is None or p.at > forgotten)
        ]
    return wanted


def _beside(connection: Connection, wanted: list[tuple[Prediction, str | None]]) -> list[tuple[Prediction, str | None]]:
    """Gives a shadow's answer the payload of the call that it read, so that the two are kept and removed together."""
    shadows = [p for p, digest in wanted if p.shadow and p.answer_json and not digest]
    if not shadows:
        return wanted
    digests = {(p.pack, p.prediction_id): digest for p, digest in wanted}
    elsewhere: dict[str, list[str]] = {}
    for p in shadows:
        if (p.pack, p.shadow_of) not in digests:
            elsewhere.setdefault(p.pack, []).append(p.shadow_of)
    for pack, names in elsewhere.items():
        for start in range(0, len(names), _CHUNK):
            query = sa.select(predictions.c.prediction_id, predictions.c.payload_digest).where(
                predictions.c.pack == pack, predictions.c.prediction_id.in_(names[start : start + _CHUNK])
            )
            digests |= {(pack, row.prediction_id): row.payload_digest for row in connection.execute(query)}
    of_call = {(p.pack, p.prediction_id): digests.get((p.pack, p.shadow_of)) for p in shadows}
    return [(p, digest or of_call.get((p.pack, p.prediction_id))) for p, digest in wanted]


def _known(connection: Connection, pack: str, prediction_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(prediction_ids), _CHUNK):
        part = prediction_ids[start : start + _CHUNK]
        query = sa.select(predictions.c.prediction_id).where(
            predictions.c.pack == pack, predictions.c.prediction_id.in_(part)
        )
        known.update(connection.scalars(query))
    return known


def _row(p: Prediction, digest: str | None) -> dict[str, Any]:
    return {
        "pack": p.pack,
        "prediction_id": p.prediction_id,
        "model_version": p.model_version,
        "at": p.at,
        "latency": p.latency,
        "code": p.code,
        "reason": p.reason,
        "signals": dict(p.signals),
        "shadow_of": p.shadow_of,
        "agreement": p.agreement,
        "payload_digest": digest,
        "answer_json": p.answer_json if digest else "",
    }
