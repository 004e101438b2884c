"""Takes users' corrections in from monitoring: what came since the last run, as a new dataset version."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from packline.monitoring.v1 import monitoring_pb2, monitoring_pb2_grpc
from packline_core.config import MONITORING_APPLICATION
from packline_core.errors import DeadlineExceeded, InvalidInput, NotFound, PacklineError, Unavailable
from packline_core.manifest import Pack
from packline_core.rpc import error_from_call, open_channel
from packline_core.store import ObjectStore
from packline_core.task import BadRow, Example, Task, get_task

from packline_training.datasets import Corrections, Datasets
from packline_training.imports import import_examples

logger = logging.getLogger(__name__)

_PAGE = 200
_DEADLINE = 30.0
_PAUSE = 1.0


@dataclass
class Taken:
    """What was taken in, filled while it is read; `notes` say in sentences what was left out and why."""

    count: int = 0
    cursor: int = 0
    notes: list[str] = field(default_factory=list)


class CorrectionSource:
    """Monitoring, asked for the corrections of one Pack.

    Args:
        address: `host:port` of the fleet's ingress.
        patience: Seconds for which it is waited for.
    """

    def __init__(self, address: str, patience: float) -> None:
        self._address = address
        self._patience = patience

    def take_in(self, datasets: Datasets, pack: Pack, store: ObjectStore, cursor: int) -> Taken:
        """Makes a dataset version of the corrections after `cursor`; nothing is half taken in.

        Raises:
            Unavailable: Monitoring did not answer for as long as patience lasts.
        """
        taken = Taken(cursor=cursor)
        with open_channel(self._address, MONITORING_APPLICATION) as channel:
            stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
            try:
                cases = list(self._cases(stub, pack.name, cursor))
            except NotFound as error:
                # The fleet runs without monitoring, or it has heard nothing of this Pack yet.
                logger.info("no corrections of %s: %s", pack.name, error.message)
                return taken
            if not cases:
                return taken
            taken.count, taken.cursor = len(cases), cases[-1].sequence
            examples = self._examples(stub, pack, get_task(pack.spec.task), cases)
            noted = Corrections(pack.name, taken.count, taken.cursor)
            reading = import_examples(datasets, pack, examples, store, noted)
        taken.notes += [f"{row.source}: {row.reason}" for row in reading.bad_rows]
        logger.info("took in %d corrections of %s, %d left out", taken.count, pack.name, reading.bad_row_count)
        return taken

    def _cases(self, stub: Any, pack: str, cursor: int) -> Iterator[Any]:
        while True:
            request = monitoring_pb2.ListErrorCasesRequest(pack=pack, after_sequence=cursor, limit=_PAGE)
            cases = self._asked(stub.ListErrorCases, request).cases
            yield from cases
            if not cases:
                return
            cursor = cases[-1].sequence

    def _examples(self, stub: Any, pack: Pack, task: Task, cases: list[Any]) -> Iterator[Example | BadRow]:
        """Oldest first, so that of corrections which contradict each other the newest holds."""
        for case in cases:
            source = f"correction {case.correction_id}"
            request = monitoring_pb2.GetPayloadRequest(pack=pack.name, payload_digest=case.payload_digest)
            try:
                payload = self._asked(stub.GetPayload, request).payload
                yield task.example(payload, case.page or 1, case.truth_json, source)
            except NotFound:
                yield BadRow(source, 0, "its payload is not kept any more")
            except InvalidInput as error:
                yield BadRow(source, 0, error.message)

    def _asked(self, method: Any, request: Any) -> Any:
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return method(request, timeout=_DEADLINE)
            except grpc.RpcError as error:
                known = error_from_call(error)
                if not isinstance(known, Unavailable | DeadlineExceeded):
                    raise known from error
                if time.monotonic() > deadline:
                    raise _away(known, self._patience) from error
                time.sleep(_PAUSE)


def _away(error: PacklineError, patience: float) -> Unavailable:
    return Unavailable(
        f"monitoring did not answer for {patience:.0f} s, so corrections could not be taken in: {error.message}",
        reason="MONITORING_AWAY",
    )
