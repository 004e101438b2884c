"""Corrections, comparison of versions, replicas: the types and the calls of `client.monitoring`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.config import MONITORING_APPLICATION

from packline_client.call import AsyncService, Call, Service, unary
from packline_client.convert import from_proto

_RPC = pb.DESCRIPTOR.services_by_name["MonitoringService"].methods_by_name


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction was taken in.

    Attributes:
        corrections: How many the Pack has now.
        created: False where the same correction was known already.
        replaces: The correction that held until now, if its truth was another.
    """

    corrections: int
    created: bool
    replaces: str


@dataclass(frozen=True, slots=True)
class Erased:
    """Rows and payloads removed; training's part follows by itself where it is pending."""

    removed: int
    pending_in_training: bool


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """A prediction with its correction; `sequence` is where to go on from."""

    sequence: int
    correction_id: str
    prediction_id: str
    model_version: str
    corrected_at: datetime | None
    truth_json: str
    answer_json: str
    payload_digest: str
    page: int


@dataclass(frozen=True, slots=True)
class Quantiles:
    """How long calls took."""

    p50: timedelta
    p90: timedelta
    p99: timedelta


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class HitRate:
    """How often users took something of a version's answers: `rate` is `hits` / `answers`; of `told` answers users told
    anything.
    """

    answers: int
    told: int
    hits: int
    rate: Interval | None


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """An estimate of what a version that nobody saw is worth, on calls that it read in shadow; `difference` is `own`
    less `shown`.
    """

    calls: int
    shown: float
    own: float
    difference: Interval | None


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version in one window of time; explained in `monitoring.proto`."""

    model_version: str
    requests: int
    errors: int
    shadow_requests: int
    shadow_errors: int
    latency: Quantiles | None
    shadow_latency: Quantiles | None
    agreement: float
    signals: Mapping[str, float]
    corrected: int
    codes: Mapping[str, int]
    hits: HitRate | None = None
    off_policy: OffPolicy | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A Pack's versions side by side."""

    versions: tuple[VersionFigures, ...]
    corrections_total: int
    dropped: int


class SlotState(StrEnum):
    """What a replica's slot holds."""

    UNSPECIFIED = "unspecified"
    EMPTY = "empty"
    LOADING = "loading"
    READY = "ready"
    REFUSED = "refused"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a replica's two slots; `reason` and `message` say why it was refused."""

    state: SlotState
    version: str
    digest: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that answers for a Pack."""

    pack: str
    replica_id: str
    node: str
    active: Slot | None
    candidate: Slot | None
    reported_at: datetime | None


class _Calls:
    @unary
    def correct(
        self,
        pack: str,
        truth_json: str,
        *,
        prediction_id: str = "",
        payload: bytes = b"",
        page: int = 0,
        correction_id: str = "",
    ) -> Call[Corrected]:
        """Gives the truth for one prediction; durable once answered.

        Args:
            pack: The Pack that answered.
            truth_json: The truth in the task's own JSON.
            prediction_id: The answer that was wrong. May be empty where `payload` is given.
            payload: What had been sent, for a prediction whose payload was not kept.
            page: The page meant, from 1; 0 means the first.
            correction_id: Makes the call idempotent. Where left out it follows from the rest, so that the same
                correction sent twice counts once.
        """
        if not correction_id:
            parts = (pack.encode(), prediction_id.encode(), str(page or 1).encode(), truth_json.encode(), payload)
            correction_id = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        request = pb.CorrectRequest(
            pack=pack,
            prediction_id=prediction_id,
            correction_id=correction_id,
            truth_json=truth_json,
            payload=payload,
            page=page,
        )
        return Call(_RPC["Correct"], MONITORING_APPLICATION, request, lambda message: from_proto(Corrected, message))

    @unary
    def error_cases(self, pack: str, *, after_sequence: int = 0, limit: int = 0) -> Call[tuple[ErrorCase, ...]]:
        """Predictions with a correction, oldest first; at most 1000 a call."""
        return Call(
            _RPC["ListErrorCases"],
            MONITORING_APPLICATION,
            pb.ListErrorCasesRequest(pack=pack, after_sequence=after_sequence, limit=limit),
            lambda message: tuple(from_proto(ErrorCase, item) for item in message.cases),
        )

    @unary
    def payload(self, pack: str, *, prediction_id: str = "", payload_digest: str = "") -> Call[bytes]:
        """What was sent for one prediction."""
        request = pb.GetPayloadRequest(pack=pack, prediction_id=prediction_id, payload_digest=payload_digest)
        return Call(_RPC["GetPayload"], MONITORING_APPLICATION, request, lambda message: bytes(message.payload))

    @unary
    def compare(self, pack: str, since: datetime | None = None, versions: Sequence[str] = ()) -> Call[Comparison]:
        """Each version's figures from `since` (an aware time) until now; all time and all versions where left out."""
        request = pb.CompareVersionsRequest(pack=pack, versions=versions)
        if since is not None:
            request.since.FromDatetime(since)
        return Call(
            _RPC["CompareVersions"], MONITORING_APPLICATION, request, lambda message: from_proto(Comparison, message)
        )

    @unary
    def erase(self, pack: str, *, prediction_id: str = "", payload_digest: str = "") -> Call[Erased]:
        """Forgets one prediction, or every prediction and correction of a payload (`sha256:…`), with all traces."""
        request = pb.ErasePredictionRequest(pack=pack, prediction_id=prediction_id, payload_digest=payload_digest)
        return Call(_RPC["ErasePrediction"], MONITORING_APPLICATION, request, lambda m: from_proto(Erased, m))

    @unary
    def replicas(self, pack: str) -> Call[tuple[Replica, ...]]:
        """The replicas of a Pack that reported within the last half minute."""
        request = pb.ListReplicasRequest(pack=pack)
        return Call(
            _RPC["ListReplicas"],
            MONITORING_APPLICATION,
            request,
            lambda message: tuple(from_proto(Replica, item) for item in message.replicas),
        )


class Monitoring(_Calls, Service):
    """`client.monitoring`."""


class AsyncMonitoring(_Calls, AsyncService):
    """`async_client.monitoring`."""
