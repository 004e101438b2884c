"""What users did with answers: read from corrections, judged by the Pack's task, and remembered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from packline_core.errors import PacklineError
from packline_core.task import Count, Rewarding
from sqlalchemy.engine import Connection

from packline_monitoring.domain import NOTHING, Outcome
from packline_monitoring.tables import corrections, predictions

# A comparison goes by so many of the newest corrections.
MOST_TOLD = 50_000
_MOST_REMEMBERED = 200_000
_CHUNK = 500


class _Judged(NamedTuple):
    hit: bool
    shown: Count
    other: Count


class _Told(NamedTuple):
    """An answer with all corrections of it."""

    prediction_id: str
    version: str
    group: str
    shadow_id: str
    shadow: str
    sequences: tuple[int, ...]


class Outcomes:
    """Judges each answer once for each state of what was told of it. Used from several threads."""

    def __init__(self) -> None:
        self._judged: dict[tuple[str, str, str, tuple[int, ...]], _Judged | None] = {}

    def read(self, connection: Connection, task: Rewarding, pack: str, since: datetime) -> list[Outcome]:
        """What users did with answers from `since` on; not what `start` leaves out."""
        told = list(_told(connection, pack, since))
        new = [one for one in told if self._key(pack, one) not in self._judged]
        if len(self._judged) + len(new) > _MOST_REMEMBERED:
            self._judged.clear()
            new = told
        judged = {self._key(pack, one): verdict for one, verdict in _judge(connection, task, pack, new)}
        self._judged |= judged
        found = []
        for one in told:
            key = self._key(pack, one)
            verdict = judged[key] if key in judged else self._judged.get(key)
            if verdict is not None:
                found.append(Outcome(one.version, one.group, verdict.hit, one.shadow, verdict.shown, verdict.other))
        return found

    @staticmethod
    def _key(pack: str, one: _Told) -> tuple[str, str, str, tuple[int, ...]]:
        return pack, one.prediction_id, one.shadow_id, one.sequences


def start(connection: Connection, pack: str, since: datetime, total: int) -> datetime:
    """From when on outcomes are read, where the Pack has `total` corrections: later than `since` where these are very
    many. All corrections of an answer given from then on are among the newest.
    """
    if total <= MOST_TOLD:
        return since
    cut: datetime | None = connection.scalar(
        sa.select(sa.func.max(corrections.c.corrected_at)).where(
            corrections.c.pack == pack, corrections.c.sequence <= total - MOST_TOLD
        )
    )
    return max(since, cut) if cut else since


def _told(connection: Connection, pack: str, since: datetime) -> Iterator[_Told]:
    shadow = predictions.alias()
    of_prediction = (predictions.c.pack == corrections.c.pack) & (
        predictions.c.prediction_id == corrections.c.prediction_id
    )
    beside = (
        (shadow.c.pack == predictions.c.pack)
        & (shadow.c.shadow_of == predictions.c.prediction_id)
        & (shadow.c.shadow_of != "")
        & (shadow.c.answer_json != "")
    )
    query = (
        sa.select(
            corrections.c.prediction_id,
            corrections.c.sequence,
            corrections.c.example_group,
            predictions.c.model_version,
            shadow.c.prediction_id.label("shadow_id"),
            shadow.c.model_version.label("shadow"),
        )
        .join_from(corrections, predictions, of_prediction)
        .outerjoin(shadow, beside)
        .where(
            corrections.c.pack == pack,
            predictions.c.at >= since,
            predictions.c.shadow_of == "",
            predictions.c.answer_json != "",
        )
        .order_by(corrections.c.sequence)
    )
    rows: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.prediction_id, []).append(row)
    for name, mine in rows.items():
        last = mine[-1]
        sequences = tuple(sorted({row.sequence for row in mine}))
        group = last.example_group or name
        yield _Told(name, last.model_version, group, last.shadow_id or "", last.shadow or "", sequences)


def _judge(
    connection: Connection, task: Rewarding, pack: str, told: Sequence[_Told]
) -> Iterator[tuple[_Told, _Judged | None]]:
    for first in range(0, len(told), _CHUNK):
        part = told[first : first + _CHUNK]
        names = {one.prediction_id for one in part} | {one.shadow_id for one in part if one.shadow_id}
        answers = _texts(connection, pack, predictions.c.prediction_id, predictions.c.answer_json, names)
        numbers = {number for one in part for number in one.sequences}
        truths = _texts(connection, pack, corrections.c.sequence, corrections.c.truth_json, numbers)
        for one in part:
            yield one, _judged(task, one, answers, [truths[n] for n in one.sequences if n in truths])


def _judged(task: Rewarding, one: _Told, answers: dict[Any, str], truths: list[str]) -> _Judged | None:
    """None where it cannot be judged: its text is in a form that the task does not read any more."""
    try:
        shown = answers[one.prediction_id]
        other = answers.get(one.shadow_id, "")
        worth = task.off_policy(shown, other, truths) if other else (NOTHING, NOTHING)
        return _Judged(task.is_hit(shown, truths), *worth)
    except (PacklineError, ValueError, KeyError, TypeError):
        return None


def _texts(
    connection: Connection, pack: str, key: sa.Column[Any], text: sa.Column[str], wanted: Iterable[Any]
) -> dict[Any, str]:
    names = sorted(wanted)
    found: dict[Any, str] = {}
    for first in range(0, len(names), _CHUNK):
        query = sa.select(key, text).where(key.table.c.pack == pack, key.in_(names[first : first + _CHUNK]))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found
