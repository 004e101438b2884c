"""Predictions on their way to monitoring: in batches, in a thread of its own, never in a caller's path.

Best effort: while monitoring is away they are kept on disk up to a bound, and what exceeds it is counted.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
from packline.monitoring.v1.monitoring_pb2 import Prediction, RecordPredictionsRequest
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub

from packline_core.config import MONITORING_APPLICATION
from packline_core.errors import InvalidInput
from packline_core.rpc import call_metadata, error_from_call, open_channel
from packline_core.task import Rewarding, Task

_log = logging.getLogger(__name__)
_BATCH = 256
_BATCH_BYTES = 16 << 20
_SECONDS_BETWEEN_BATCHES = 0.3
_PENDING_BYTES = 128 << 20
_SPOOL_BYTES = 128 << 20
_LONGEST_PAUSE = 30.0
_TIMEOUT = 15.0
_OVERHEAD = 512
_UNMADE = 4096

# A payload, or what makes it in the recorder's thread.
Kept = bytes | Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One prediction.

    Attributes:
        prediction_id: Names it.
        version: Who answered.
        at: Seconds since the epoch.
        latency: Seconds in the replica.
        code: A `google.rpc.Code`; 0 is OK.
        reason: An error's reason.
        payload: What was sent; empty where it is not kept.
        answer: Makes the answer's JSON; called in the recorder's thread. None for errors.
        shadow_of: For a shadow's: active's prediction.
        other: For a shadow's: makes active's answer.
        kept: Whether the call's payload is kept: a shadow's answer then is, too, where users' truths tell its worth.
    """

    prediction_id: str
    version: str
    at: float
    latency: float
    code: int = 0
    reason: str = ""
    payload: Kept = b""
    answer: Callable[[], str] | None = None
    shadow_of: str = ""
    other: Callable[[], str] | None = None
    kept: bool = False

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return _OVERHEAD + (len(self.payload) if isinstance(self.payload, bytes) else _UNMADE)


class Recorder:
    """The recorder of one replica.

    Args:
        pack: Whose predictions they are.
        task: Gives signals and agreement.
        address: Of the fleet's ingress.
        spool: Folder for what cannot be delivered.
        name: Of the replica.
    """

    def __init__(self, pack: str, task: Task, address: str, spool: Path, name: str) -> None:
        self._pack, self._task, self._name = pack, task, name
        self._spool = spool
        self._entries: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._added = self._taken = 0  # bytes; each written by one thread alone
        self._lost = 0  # written by the event loop alone
        self._dropped = self._reported = 0
        self._pause, self._resume_at = 0.0, 0.0
        self._ended = False
        self._channel = open_channel(address, retries=False)
        self._stub = MonitoringServiceStub(self._channel)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Takes a prediction; drops it where too much waits."""
        size = entry.size
        if self._added - self._taken + size > _PENDING_BYTES:
            self._lost += 1
            return
        self._added += size
        self._entries.put(entry)

    @property
    def dropped(self) -> int:
        """Predictions lost since the replica started."""
        return self._lost + self._dropped

    def close(self, timeout: float = 10.0) -> None:
        """Sends or spools what waits."""
        if not self._ended:
            self._ended = True
            self._entries.put(None)
            self._thread.join(timeout)
            self._channel.close()

    def _work(self) -> None:
        going = True
        while going:
            batch, going = self._collect()
            try:
                if batch:
                    self._deliver(batch)
                if not self._paused():
                    self._replay()
            except Exception:  # the log of predictions must never take the replica with it
                _log.exception("a batch of predictions was lost")
                self._dropped += len(batch)

    def _collect(self) -> tuple[list[Entry], bool]:
        try:
            first = self._entries.get(timeout=5.0)
        except queue.Empty:
            return [], True
        if first is None:
            return [], False
        batch, size = [first], first.size
        until = time.monotonic() + _SECONDS_BETWEEN_BATCHES
        going = True
        while len(batch) < _BATCH and size < _BATCH_BYTES:
            try:
                entry = self._entries.get(timeout=max(0.001, until - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                going = False
                break
            batch.append(entry)
            size += entry.size
        self._taken += size
        return batch, going

    def _deliver(self, batch: list[Entry]) -> None:
        request = RecordPredictionsRequest(predictions=[self._message(entry) for entry in batch])
        dropped = self.dropped
        if dropped > self._reported:
            request.dropped[self._pack] = dropped - self._reported
        if not self._paused() and self._send(request):
            self._reported = dropped
            return
        request.ClearField("dropped")
        self._keep(request)

    def _send(self, request: RecordPredictionsRequest) -> bool:
        """True where there is nothing left to send again."""
        try:
            self._stub.RecordPredictions(request, timeout=_TIMEOUT, metadata=call_metadata(MONITORING_APPLICATION))
        except grpc.RpcError as error:
            known = error_from_call(error)
            if isinstance(known, InvalidInput):  # asked again, it would be refused again, and hold up all others
                _log.error("monitoring refused %d predictions for good: %s", len(request.predictions), known)
                self._dropped += len(request.predictions)
                return True
            self._pause = min(_LONGEST_PAUSE, max(1.0, self._pause * 2))
            self._resume_at = time.monotonic() + self._pause
            _log.info("monitoring takes no predictions now (%s); kept on disk", known)
            return False
        self._pause = 0.0
        return True

    def _paused(self) -> bool:
        return time.monotonic() < self._resume_at

    def _keep(self, request: RecordPredictionsRequest) -> None:
        data = request.SerializeToString()
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            held = sum(path.stat().st_size for path in self._spool.glob("*.pb"))
            if held + len(data) <= _SPOOL_BYTES:
                work = self._spool / f"{time.time_ns():020d}-{self._name}-{os.getpid()}.tmp"
                work.write_bytes(data)
                work.replace(work.with_suffix(".pb"))
                return
        except OSError as error:
            _log.warning("predictions cannot be kept in %s: %s", self._spool, error)
        self._dropped += len(request.predictions)

    def _replay(self) -> None:
        # Another replica may send the same file; monitoring counts a prediction once.
        for path in sorted(self._spool.glob("*.pb")):
            try:
                request = RecordPredictionsRequest.FromString(path.read_bytes())
            except FileNotFoundError:
                continue
            if not self._send(request):
                return
            path.unlink(missing_ok=True)

    def _message(self, entry: Entry) -> Prediction:
        message = Prediction(
            prediction_id=entry.prediction_id,
            pack=self._pack,
            model_version=entry.version,
            code=entry.code,
            reason=entry.reason,
            shadow_of=entry.shadow_of,
        )
        message.at.FromNanoseconds(int(entry.at * 1e9))
        message.latency.FromNanoseconds(int(entry.latency * 1e9))
        if entry.answer is not None:
            answer = entry.answer()
            message.signals.update(self._task.signals(answer))
            if entry.other is not None:
                message.agreement = self._task.agreement(entry.other(), answer)
            if entry.payload or (entry.kept and isinstance(self._task, Rewarding)):
                message.answer_json = answer
        message.payload = entry.payload if isinstance(entry.payload, bytes) else entry.payload()
        return message
