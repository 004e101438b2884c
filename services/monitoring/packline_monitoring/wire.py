"""Protobuf to domain and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.errors import InvalidInput
from packline_core.stats import Interval

from packline_monitoring import domain
from packline_monitoring.figures import Comparison, Quantiles, VersionFigures


def to_prediction(message: pb.Prediction, index: int) -> domain.Prediction:
    """One prediction of a batch. Raises `InvalidInput` naming its field."""
    where = f"predictions[{index}]"
    if not message.HasField("at"):
        raise InvalidInput(f"{where}.at: say when the call was answered", field=f"{where}.at")
    return domain.Prediction(
        prediction_id=message.prediction_id,
        pack=message.pack,
        model_version=message.model_version,
        at=to_datetime(message.at, f"{where}.at"),
        latency=message.latency.seconds + message.latency.nanos / 1e9,
        code=message.code,
        reason=message.reason,
        signals=dict(message.signals),
        shadow_of=message.shadow_of,
        agreement=message.agreement,
        payload=message.payload,
        answer_json=message.answer_json,
    )


def to_correction(request: pb.CorrectRequest) -> domain.Correction:
    """A correction as it was sent."""
    return domain.Correction(
        pack=request.pack,
        correction_id=request.correction_id,
        truth_json=request.truth_json,
        prediction_id=request.prediction_id,
        payload=request.payload,
        page=request.page,
    )


def to_replica(message: pb.Replica) -> domain.Replica:
    """A replica's report; its time is set where it is taken in."""
    return domain.Replica(
        pack=message.pack,
        replica_id=message.replica_id,
        node=message.node,
        active=_to_slot(message.active),
        candidate=_to_slot(message.candidate),
        reported_at=datetime.fromtimestamp(0, UTC),
    )


def to_datetime(message: Timestamp, field: str) -> datetime:
    """A moment, to the microsecond. Raises `InvalidInput` outside the years 1 to 9999."""
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{field}: not a moment between the years 1 and 9999", field=field) from error


def from_case(case: domain.ErrorCase) -> pb.ErrorCase:
    """An error case."""
    return pb.ErrorCase(
        sequence=case.sequence,
        correction_id=case.correction_id,
        prediction_id=case.prediction_id,
        model_version=case.model_version,
        corrected_at=_timestamp(case.corrected_at),
        truth_json=case.truth_json,
        answer_json=case.answer_json,
        payload_digest=case.payload_digest,
        page=case.page,
    )


def from_comparison(comparison: Comparison) -> pb.CompareVersionsResponse:
    """A comparison."""
    return pb.CompareVersionsResponse(
        versions=[_from_figures(figures) for figures in comparison.versions],
        corrections_total=comparison.corrections_total,
        dropped=comparison.dropped,
    )


def from_replica(replica: domain.Replica) -> pb.Replica:
    """A replica's last report."""
    return pb.Replica(
        pack=replica.pack,
        replica_id=replica.replica_id,
        node=replica.node,
        active=_from_slot(replica.active),
        candidate=_from_slot(replica.candidate),
        reported_at=_timestamp(replica.reported_at),
    )


def _from_figures(figures: VersionFigures) -> pb.VersionFigures:
    message = pb.VersionFigures(
        model_version=figures.model_version,
        requests=figures.requests,
        errors=figures.errors,
        shadow_requests=figures.shadow_requests,
        shadow_errors=figures.shadow_errors,
        agreement=figures.agreement or 0.0,
        signals=_map(figures.signals),
        corrected=figures.corrected,
        codes=_map(figures.codes),
    )
    if figures.latency:
        message.latency.CopyFrom(_from_quantiles(figures.latency))
    if figures.shadow_latency:
        message.shadow_latency.CopyFrom(_from_quantiles(figures.shadow_latency))
    if hits := figures.hits:
        rate = _from_interval(hits.rate)
        message.hits.CopyFrom(pb.HitRate(answers=hits.answers, told=hits.told, hits=hits.hits, rate=rate))
    if off := figures.off_policy:
        difference = _from_interval(off.difference)
        message.off_policy.CopyFrom(pb.OffPolicy(calls=off.calls, shown=off.shown, own=off.own, difference=difference))
    return message


def _from_interval(interval: Interval) -> pb.Interval:
    return pb.Interval(value=interval.value, low=interval.low, high=interval.high)


def _from_quantiles(quantiles: Quantiles) -> pb.Quantiles:
    return pb.Quantiles(p50=_duration(quantiles.p50), p90=_duration(quantiles.p90), p99=_duration(quantiles.p99))


def _to_slot(message: pb.Slot) -> domain.Slot:
    known = {int(state) for state in domain.SlotState}
    state = domain.SlotState(message.state if int(message.state) in known else 0)
    return domain.Slot(state, message.version, message.digest, message.reason, message.message)


def _from_slot(slot: domain.Slot) -> pb.Slot:
    return pb.Slot(
        state=pb.SlotState.ValueType(slot.state),
        version=slot.version,
        digest=slot.digest,
        reason=slot.reason,
        message=slot.message,
    )


def _map(values: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return values or {}


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(seconds * 1e9))
    return message
