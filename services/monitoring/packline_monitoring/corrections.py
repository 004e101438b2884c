"""Takes in corrections: checked by the Pack's task, durable with their payload, in one order for each Pack."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from packline_core import db
from packline_core.bundle import bytes_digest
from packline_core.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from packline_core.task import Example, Task
from sqlalchemy.engine import Connection

from packline_monitoring.checks import check_correction
from packline_monitoring.domain import Corrected, Correction
from packline_monitoring.meter import CORRECTIONS
from packline_monitoring.predictions import is_erased, know_packs
from packline_monitoring.shared import Shared
from packline_monitoring.tables import corrections, packs, predictions


class Corrections:
    """The way in for corrections."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def correct(self, correction: Correction) -> Corrected:
        """Takes in one correction; when this returns, it is on disk with its payload.

        Raises:
            InvalidInput: The truth is not of the task's form, or the payload is not what the prediction was made of.
            AlreadyExists: The same correction_id came before and said something else.
            FailedPrecondition: There is no payload to learn from; the message says what to do.
            NotFound: There is no such Pack.
            Overloaded, StorageFull, Unavailable: Nothing was changed.
        """
        check_correction(correction)
        correction = replace(correction, page=max(correction.page, 1))
        with ExitStack() as stack:
            stack.enter_context(self._shared.memory.hold(len(correction.payload)))
            if known := await self._shared.threads.run(lambda: self._known(correction)):
                return known
            facts = await self._shared.directory.facts(correction.pack)
            payload = correction.payload or await self._kept_payload(correction)
            digest = bytes_digest(payload)
            task = self._shared.tasks(facts.task)
            example = await self._shared.threads.run(lambda: _example(task, correction, payload))
            if correction.payload:
                stack.enter_context(self._shared.payloads.arriving([(correction.pack, digest)]))
                await self._shared.threads.run(lambda: self._shared.payloads.put(correction.pack, payload))
            now = self._shared.clock()
            corrected = await self._shared.writer.write(lambda c: keep(c, correction, digest, example, now))
        if corrected.created:
            self._shared.meter.count(CORRECTIONS, {"pack": correction.pack})
        return corrected

    def _known(self, correction: Correction) -> Corrected | None:
        with db.read(self._shared.engine) as connection:
            return repeated(connection, correction)

    async def _kept_payload(self, correction: Correction) -> bytes:
        key = (correction.pack, correction.prediction_id)
        row = await self._shared.threads.run(lambda: self._prediction(*key))
        if row is None:
            # Replicas deliver in batches: a correction right after the answer comes before its record.
            await self._shared.arrivals.wait(key, self._shared.limits.arrival)
            row = await self._shared.threads.run(lambda: self._prediction(*key))
        if row is None:
            raise FailedPrecondition(
                f"prediction {correction.prediction_id} of Pack {correction.pack} is not on record: the id is wrong, "
                "it was erased, or its replica has not delivered it yet. Send the payload along, or try again in a few "
                "seconds",
                reason="PREDICTION_UNKNOWN",
                pack=correction.pack,
                prediction_id=correction.prediction_id,
                retry_after_seconds="5",
            )
        if row.payload_digest is None:
            raise _payload_not_kept(correction)
        try:
            return await self._shared.threads.run(
                lambda: self._shared.payloads.get(correction.pack, row.payload_digest)
            )
        except NotFound:
            raise _payload_not_kept(correction) from None

    def _prediction(self, pack: str, prediction_id: str) -> Any:
        with db.read(self._shared.engine) as connection:
            return _prediction(connection, pack, prediction_id)


def keep(connection: Connection, correction: Correction, digest: str, example: Example, now: datetime) -> Corrected:
    """Writes one correction, with all that may have changed since it was checked looked at again."""
    if known := repeated(connection, correction):
        return known
    pack = correction.pack
    if correction.prediction_id and is_erased(connection, pack, [correction.prediction_id]):
        raise FailedPrecondition(
            f"prediction {correction.prediction_id} was erased; a correction of it is not kept",
            reason="PREDICTION_ERASED",
            pack=pack,
        )
    row = _prediction(connection, pack, correction.prediction_id) if correction.prediction_id else None
    if row is not None and row.payload_digest not in {None, digest}:
        raise InvalidInput(
            f"payload: not what prediction {correction.prediction_id} was made of; its own is kept, leave yours out",
            reason="PAYLOAD_MISMATCH",
            field="payload",
        )
    if not correction.payload and (row is None or row.payload_digest is None):
        raise _payload_not_kept(correction)
    replaces = connection.execute(
        sa.select(corrections.c.correction_id, corrections.c.truth_json)
        .where(corrections.c.pack == pack, corrections.c.example_key == example.key)
        .order_by(corrections.c.sequence.desc())
        .limit(1)
    ).one_or_none()
    sequence = next_sequence(connection, pack)
    values = {
        "pack": pack,
        "sequence": sequence,
        "correction_id": correction.correction_id,
        "prediction_id": correction.prediction_id,
        "page": correction.page,
        "truth_json": correction.truth_json,
        "payload_digest": digest,
        "example_key": example.key,
        "example_group": example.group,
        "corrected_at": now,
    }
    connection.execute(sa.insert(corrections).values(values))
    contradicts = replaces is not None and replaces.truth_json != correction.truth_json
    return Corrected(sequence, created=True, replaces=replaces.correction_id if replaces and contradicts else "")


def repeated(connection: Connection, correction: Correction) -> Corrected | None:
    """The answer to a correction whose id is known; None where it is not. Raises `AlreadyExists`."""
    row = connection.execute(
        sa.select(corrections, packs.c.sequence.label("total"))
        .join(packs, packs.c.name == corrections.c.pack)
        .where(corrections.c.pack == correction.pack, corrections.c.correction_id == correction.correction_id)
    ).one_or_none()
    if row is None:
        return None
    said = (row.prediction_id, row.page, row.truth_json)
    same_payload = not correction.payload or bytes_digest(correction.payload) == row.payload_digest
    if said != (correction.prediction_id, correction.page, correction.truth_json) or not same_payload:
        raise AlreadyExists(
            f"correction_id {correction.correction_id} was used before for another truth, prediction, page or payload; "
            "that correction stands. Send this one under a new id",
            reason="CORRECTION_ID_TAKEN",
            pack=correction.pack,
            correction_id=correction.correction_id,
        )
    return Corrected(row.total, created=False)


def next_sequence(connection: Connection, pack: str) -> int:
    """The next number of the Pack's corrections. The row's lock makes them commit in order, so that no reader passes
    one by.
    """
    know_packs(connection, [pack])
    statement = sa.update(packs).where(packs.c.name == pack).values(sequence=packs.c.sequence + 1)
    return int(connection.execute(statement.returning(packs.c.sequence)).scalar_one())


def _example(task: Task, correction: Correction, payload: bytes) -> Example:
    try:
        return task.example(payload, correction.page, correction.truth_json, f"correction {correction.correction_id}")
    except InvalidInput as error:
        if error.field:
            raise
        raise InvalidInput(error.message, reason=error.reason, field="truth_json", **error.metadata) from error


def _prediction(connection: Connection, pack: str, prediction_id: str) -> Any:
    return connection.execute(
        sa.select(predictions.c.payload_digest).where(
            predictions.c.pack == pack, predictions.c.prediction_id == prediction_id
        )
    ).one_or_none()


def _payload_not_kept(correction: Correction) -> FailedPrecondition:
    return FailedPrecondition(
        f"the payload of prediction {correction.prediction_id} was not kept (sampling, retention or a full store), so "
        "there is nothing to learn from; send it along in `payload`",
        reason="PAYLOAD_NOT_KEPT",
        pack=correction.pack,
        prediction_id=correction.prediction_id,
    )
