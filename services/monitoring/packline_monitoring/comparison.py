"""Reads: error cases, payloads, and how a Pack's versions compare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from packline_core import db
from packline_core.errors import InvalidInput, NotFound
from packline_core.task import Rewarding, Task
from sqlalchemy.engine import Connection

from packline_monitoring.checks import check_digest, check_id, check_pack
from packline_monitoring.domain import ErrorCase, Outcome, Prediction
from packline_monitoring.figures import Comparison, Tally, Window, figures, window
from packline_monitoring.hits import hit_rates, off_policy
from packline_monitoring.outcomes import Outcomes, start
from packline_monitoring.payloads import not_kept
from packline_monitoring.shared import Shared
from packline_monitoring.tables import corrections, packs, predictions, tallies
from packline_monitoring.tallies import HOUR, MINUTE, Kind, fold

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_SEQUENCE = (1 << 63) - 1
_MAX_VERSIONS = 100
_MAX_CASES = 1000
# Characters of truths and answers in one message.
_MAX_TEXT = 8 << 20


class Comparisons:
    """What is read, each from one state of the database. Blocking: called in a thread."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._outcomes = Outcomes()

    def compare(self, pack: str, since: datetime | None, versions: Sequence[str]) -> Comparison:
        """Each version's figures from `since` on (None: all time). A version asked for is there even with none."""
        check_pack(pack)
        if len(versions) > _MAX_VERSIONS:
            raise InvalidInput(
                f"versions: ask for {_MAX_VERSIONS} at most, or for all by naming none", field="versions"
            )
        for index, version in enumerate(versions):
            check_id(version, f"versions[{index}]")
        asked = list(dict.fromkeys(versions))
        span = window(max(since or _ALWAYS, _ALWAYS), self._shared.clock(), self._shared.limits.minutes)
        with db.read(self._shared.engine) as connection:
            row = connection.execute(
                sa.select(packs.c.sequence, packs.c.task).where(packs.c.name == pack)
            ).one_or_none()
            sums = _sums(connection, pack, span, asked)
            corrected = _corrected(connection, pack, span.since, asked)
            outcomes, answers = self._told(connection, pack, row, span, sums)
        if asked:
            outcomes = [one for one in outcomes if one.version in asked or one.shadow in asked]
        dropped = sum(tally.count for tally in sums if tally.kind == Kind.DROPPED)
        compared = figures(sums, corrected, asked, hit_rates(outcomes, answers), off_policy(outcomes))
        return Comparison(compared, row.sequence if row else 0, dropped)

    def _told(
        self, connection: Connection, pack: str, row: Any, span: Window, sums: Sequence[Tally]
    ) -> tuple[list[Outcome], Counter[str]]:
        """What users did, and each version's answers in the same time; nothing where the task's truths do not tell."""
        answers: Counter[str] = Counter()
        task = self._task(row.task) if row and row.task and row.sequence else None
        if not isinstance(task, Rewarding):
            return [], answers
        since = start(connection, pack, span.since, row.sequence)
        if since > span.since:
            sums = _sums(connection, pack, window(since, self._shared.clock(), self._shared.limits.minutes), ())
        for tally in sums:
            if tally.kind == Kind.KEPT:
                answers[tally.model_version] += tally.count
        return self._outcomes.read(connection, task, pack, since), answers

    def _task(self, name: str) -> Task | None:
        try:
            return self._shared.tasks(name)
        except NotFound:  # uninstalled since: all other figures stand
            return None

    def error_cases(self, pack: str, after: int, limit: int) -> list[ErrorCase]:
        """Corrections after a sequence, in order; at most 1000, which is also what a limit of 0 means, and fewer where
        they are long: the end is reached when none come.
        """
        check_pack(pack)
        query = (
            sa.select(corrections, predictions.c.model_version, predictions.c.answer_json)
            .outerjoin(
                predictions,
                sa.and_(
                    predictions.c.pack == corrections.c.pack,
                    predictions.c.prediction_id == corrections.c.prediction_id,
                ),
            )
            .where(corrections.c.pack == pack, corrections.c.sequence > min(after, _MAX_SEQUENCE))
            .order_by(corrections.c.sequence)
            .limit(min(limit or _MAX_CASES, _MAX_CASES))
        )
        cases: list[ErrorCase] = []
        size = 0
        with db.read(self._shared.engine) as connection:
            for row in connection.execute(query):
                case = ErrorCase(
                    sequence=row.sequence,
                    correction_id=row.correction_id,
                    prediction_id=row.prediction_id,
                    model_version=row.model_version or "",
                    corrected_at=row.corrected_at,
                    truth_json=row.truth_json,
                    answer_json=row.answer_json or "",
                    payload_digest=row.payload_digest,
                    page=row.page,
                )
                size += len(case.truth_json) + len(case.answer_json)
                if cases and size > _MAX_TEXT:
                    break
                cases.append(case)
        return cases

    def payload(self, pack: str, prediction_id: str, digest: str) -> bytes:
        """A payload by its prediction or its digest. Raises `NotFound`."""
        check_pack(pack)
        if digest:
            return self._shared.payloads.get(pack, check_digest(digest, "payload_digest"))
        check_id(prediction_id, "prediction_id")
        query = sa.select(predictions.c.payload_digest).where(
            predictions.c.pack == pack, predictions.c.prediction_id == prediction_id
        )
        own = sa.select(corrections.c.payload_digest).where(
            corrections.c.pack == pack, corrections.c.prediction_id == prediction_id
        )
        with db.read(self._shared.engine) as connection:
            row = connection.execute(query).one_or_none()
            kept = (row.payload_digest if row else None) or connection.scalar(own.limit(1))
        if row is None and kept is None:
            raise NotFound(
                f"Pack {pack} has no prediction {prediction_id} on record",
                reason="PREDICTION_UNKNOWN",
                pack=pack,
            )
        if kept is None:
            raise not_kept(pack, f"prediction {prediction_id}")
        return self._shared.payloads.get(pack, str(kept))


def _sums(connection: Connection, pack: str, span: Window, asked: Sequence[str]) -> list[Tally]:
    """The window's sums: a part-minute from predictions, up to the full hour from minutes, the rest from hours."""
    at, start = predictions.c.at, tallies.c.start
    names = ("prediction_id", "model_version", "at", "latency", "code", "signals", "shadow_of", "agreement")
    # Of an answer only whether there is one.
    kept = sa.func.substr(predictions.c.answer_json, 1, 1).label("answer_json")
    rows = sa.select(*(predictions.c[name] for name in names), kept).where(
        predictions.c.pack == pack, at >= span.since, at < span.minutes
    )
    minutes, hours = int(span.minutes.timestamp()), int(span.hours.timestamp())
    parts = [
        (tallies.c.unit == MINUTE) & (start >= minutes) & (start < hours),
        (tallies.c.unit == HOUR) & (start >= hours),
    ]
    columns = (tallies.c.model_version, tallies.c.shadow, tallies.c.kind, tallies.c.name)
    queries = [
        sa.select(*columns, sa.func.sum(tallies.c.count).label("n"), sa.func.sum(tallies.c.total).label("total"))
        .where(tallies.c.pack == pack, part)
        .group_by(*columns)
        for part in parts
    ]
    if asked:
        rows = rows.where(predictions.c.model_version.in_(asked))
        queries = [query.where(tallies.c.model_version.in_([*asked, ""])) for query in queries]
    sums = [
        Tally(row.model_version, bool(row.shadow), row.kind, row.name, int(row.n), float(row.total))
        for query in queries
        for row in connection.execute(query)
    ]
    if span.since < span.minutes:
        first = fold(Prediction(pack=pack, **row._mapping) for row in connection.execute(rows))
        sums += [
            Tally(key.model_version, key.shadow, key.kind, key.name, amount.count, amount.total)
            for key, amount in first.items()
            if key.unit == MINUTE
        ]
    return sums


def _corrected(connection: Connection, pack: str, since: datetime, asked: Sequence[str]) -> dict[str, int]:
    # Corrections are few and come first: a DISTINCT of their own keeps SQLite from reading all predictions instead.
    told = sa.select(corrections.c.prediction_id).where(corrections.c.pack == pack).distinct().subquery()
    query = (
        sa.select(predictions.c.model_version, sa.func.count().label("n"))
        .join_from(told, predictions, predictions.c.prediction_id == told.c.prediction_id)
        .where(predictions.c.pack == pack, predictions.c.at >= since)
        .group_by(predictions.c.model_version)
    )
    if asked:
        query = query.where(predictions.c.model_version.in_(asked))
    return {row.model_version: int(row.n) for row in connection.execute(query)}
