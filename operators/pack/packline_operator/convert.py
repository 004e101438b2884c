"""The peers' messages as the loop's own values, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from packline.monitoring.v1 import monitoring_pb2 as monitoring
from packline.training.v1 import training_pb2 as training

from packline_operator.facts import (
    Decision,
    DecisionKind,
    Figures,
    Gate,
    GateOutcome,
    Hits,
    Latency,
    Phase,
    Registry,
    Replica,
    Run,
    RunKind,
    RunState,
    Slot,
    SlotState,
    Version,
    VersionState,
)

_E = TypeVar("_E")
_PHASES = {
    training.PHASE_UNSPECIFIED: Phase.IDLE,
    training.PHASE_IDLE: Phase.IDLE,
    training.PHASE_SHADOW: Phase.SHADOW,
    training.PHASE_CANARY: Phase.CANARY,
}
_VERSION_STATES = {getattr(training, f"VERSION_STATE_{state.name}"): state for state in VersionState}
_GATE_OUTCOMES = {getattr(training, f"GATE_OUTCOME_{outcome.name}"): outcome for outcome in GateOutcome}
_RUN_KINDS = {getattr(training, f"RUN_KIND_{kind.name}"): kind for kind in RunKind}
_RUN_STATES = {getattr(training, f"RUN_STATE_{state.name}"): state for state in RunState}
_DECISION_KINDS = {getattr(training, f"DECISION_KIND_{kind.name}"): kind for kind in DecisionKind}
_SLOT_STATES = {getattr(monitoring, f"SLOT_STATE_{state.name}"): state for state in SlotState}


def run_kind(kind: RunKind) -> Any:
    """The enum's value in protobuf."""
    return getattr(training, f"RUN_KIND_{kind.name}")


def decision_kind(kind: DecisionKind) -> Any:
    """The enum's value in protobuf."""
    return getattr(training, f"DECISION_KIND_{kind.name}")


def registry(
    answer: training.GetPackResponse,
    versions: training.ListVersionsResponse,
    runs: training.ListRunsResponse,
    decisions: training.ListDecisionsResponse,
) -> Registry:
    """What training knows of one Pack."""
    state = answer.state
    return Registry(
        spec=json.loads(answer.manifest_json)["spec"],
        revision=state.revision,
        active=_version(state.active),
        phase=_PHASES[state.phase],
        since=_time(state.since),
        previous=_version(state.previous) if state.HasField("previous") else None,
        candidate=_version(state.candidate) if state.HasField("candidate") else None,
        step=state.step,
        weight=state.weight,
        approved_version=state.approved_version,
        rollback_to=state.rollback_to,
        last_training_at=_time(state.last_training_at) if state.HasField("last_training_at") else None,
        trained_corrections=state.trained_corrections,
        versions=tuple(_version(version) for version in versions.versions),
        runs=tuple(_run(run) for run in runs.runs),
        decisions=tuple(_decision(decision) for decision in decisions.decisions),
    )


def figures(answer: monitoring.CompareVersionsResponse) -> dict[str, Figures]:
    """Each version's figures, by version."""
    return {version.model_version: _figures(version) for version in answer.versions}


def replica(message: monitoring.Replica) -> Replica:
    """One replica's report."""
    return Replica(message.replica_id, _slot(message.active), _slot(message.candidate))


def timestamp(time: datetime) -> Timestamp:
    """A time in protobuf."""
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _version(message: training.Version) -> Version:
    gate = None
    if message.HasField("gate"):
        gate = Gate(_known(_GATE_OUTCOMES, message.gate.outcome, GateOutcome.FAILED), message.gate.reason)
    return Version(
        name=message.version,
        digest=message.digest,
        state=_known(_VERSION_STATES, message.state, VersionState.RETIRED),
        uri=message.uri,
        created_at=_time(message.created_at),
        gate=gate,
    )


def _run(message: training.Run) -> Run:
    return Run(
        run_id=message.run_id,
        kind=_known(_RUN_KINDS, message.kind, RunKind.TRAIN),
        state=_known(_RUN_STATES, message.state, RunState.FAILED),
        reason=message.reason,
        created_at=_time(message.created_at),
        version=message.version,
        message=message.message,
        ended_at=_time(message.ended_at) if message.HasField("ended_at") else None,
    )


def _decision(message: training.Decision) -> Decision:
    return Decision(
        decision_id=message.decision_id,
        kind=_known(_DECISION_KINDS, message.kind, DecisionKind.REJECT),
        version=message.version,
        reason=message.reason,
        message=message.message,
        at=_time(message.at),
        revision=message.revision,
        weight=message.weight,
    )


def _figures(message: monitoring.VersionFigures) -> Figures:
    latency = message.latency
    quantiles = Latency(_ms(latency.p50), _ms(latency.p90), _ms(latency.p99)) if message.HasField("latency") else None
    return Figures(
        requests=message.requests,
        errors=message.errors,
        shadow_requests=message.shadow_requests,
        shadow_errors=message.shadow_errors,
        latency=quantiles,
        agreement=message.agreement,
        corrected=message.corrected,
        hits=_hits(message.hits) if message.HasField("hits") else None,
    )


def _hits(message: monitoring.HitRate) -> Hits:
    return Hits(message.answers, message.hits, message.rate.value, message.rate.low, message.rate.high)


def _slot(message: monitoring.Slot) -> Slot:
    state = _known(_SLOT_STATES, message.state, SlotState.EMPTY)
    return Slot(state, message.version, message.digest, message.reason, message.message)


def _known(values: dict[Any, _E], value: Any, otherwise: _E) -> _E:
    """A peer that is newer than this loop may send a value unknown here: `otherwise` is the one that moves nothing."""
    return values.get(value, otherwise)


def _time(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def _ms(message: Duration) -> float:
    return message.ToTimedelta().total_seconds() * 1000
