"""What this replica's slots hold, told to monitoring: at each change and every few seconds, quietly if it is away."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
from packline.monitoring.v1.monitoring_pb2 import Replica, ReportReplicaRequest, Slot
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub

from packline_core.config import MONITORING_APPLICATION
from packline_core.rpc import call_metadata, open_aio_channel
from packline_core.serving.slots import SlotReport

if TYPE_CHECKING:
    from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceAsyncStub

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN = 5.0
_TIMEOUT = 5.0


class Reporter:
    """Sends reports one at a time; made inside the event loop.

    Args:
        address: Of the fleet's ingress.
        pack: The replica's Pack.
        replica_id: As Serve's REST API has it.
        node: The replica's node.
    """

    def __init__(self, address: str, pack: str, replica_id: str, node: str) -> None:
        self._pack, self._replica_id, self._node = pack, replica_id, node
        self._channel = open_aio_channel(address, retries=False)
        self._stub: MonitoringServiceAsyncStub = MonitoringServiceStub(self._channel)
        self._slots = (SlotReport(), SlotReport())
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def report(self, active: SlotReport, candidate: SlotReport, *, now: bool) -> None:
        """Takes the state in; sends it at once where `now` says so."""
        self._slots = (active, candidate)
        if now:
            self._wake.set()

    async def close(self) -> None:
        """Ends without another report."""
        self._task.cancel()
        await self._channel.close(None)

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            await self._send()
            try:
                await asyncio.wait_for(self._wake.wait(), _SECONDS_BETWEEN)
            except TimeoutError:
                continue

    async def _send(self) -> None:
        active, candidate = (_message(report) for report in self._slots)
        replica = Replica(
            pack=self._pack, replica_id=self._replica_id, node=self._node, active=active, candidate=candidate
        )
        replica.reported_at.FromDatetime(datetime.now(UTC))
        request = ReportReplicaRequest(replica=replica)
        try:
            await self._stub.ReportReplica(request, timeout=_TIMEOUT, metadata=call_metadata(MONITORING_APPLICATION))
        except grpc.aio.AioRpcError as error:
            _log.debug("monitoring takes no report now: %s", error.code())


def _message(report: SlotReport) -> Slot:
    return Slot(
        state=report.state.value,  # type: ignore[arg-type]
        version=report.version,
        digest=report.digest,
        reason=report.reason,
        message=report.message,
    )
