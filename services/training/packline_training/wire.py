"""protobuf <-> domain, for the servicer alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from packline.training.v1 import training_pb2 as pb
from packline_core.errors import InvalidInput

from packline_training.domain import (
    DatasetVersion,
    Decision,
    DecisionKind,
    DecisionRecord,
    GateResult,
    GateSlice,
    PackState,
    Run,
    RunKind,
    Version,
)
from packline_training.imports import Imported

Uri = Callable[[str], str]

_KINDS = {getattr(pb, f"DECISION_KIND_{kind.name}"): kind for kind in DecisionKind}
_RUN_KINDS = {getattr(pb, f"RUN_KIND_{kind.name}"): kind for kind in RunKind}


def from_version(version: Version, uri: Uri) -> pb.Version:
    """A version; `uri` makes a URL of an object's name."""
    return pb.Version(
        version=version.name,
        digest=version.digest,
        state=getattr(pb, f"VERSION_STATE_{version.state.name}"),
        origin=version.origin,
        run_id=version.run_id,
        base=version.base,
        dataset_digest=version.dataset_digest,
        created_at=_timestamp(version.created_at),
        uri=uri(version.object_name),
        reason=version.reason,
        gate=None if version.gate is None else _from_gate(version.gate),
        metrics=version.metrics,
    )


def from_state(state: PackState, uri: Uri) -> pb.PackState:
    """Where a Pack stands."""

    def named(name: str) -> pb.Version | None:
        return from_version(state.version(name), uri) if name else None

    return pb.PackState(
        pack=state.pack,
        task=state.task,
        revision=state.revision,
        active=named(state.active),
        previous=named(state.previous),
        candidate=named(state.candidate),
        phase=getattr(pb, f"PHASE_{state.phase.name}"),
        step=state.step,
        weight=state.weight,
        since=_timestamp(state.since),
        approved_version=state.approved,
        rollback_to=state.rollback_to,
        last_training_at=_timestamp(state.last_training_at),
        trained_corrections=state.trained_corrections,
    )


def to_decision(request: pb.DecideRequest) -> Decision:
    """The decision that is asked for. Raises `InvalidInput`."""
    if not request.decision_id:
        raise InvalidInput("decision_id is needed: it makes the call safe to repeat", field="decision_id")
    if request.kind not in _KINDS:
        raise InvalidInput(f"kind {request.kind} is no kind of decision", field="kind")
    return Decision(
        decision_id=request.decision_id,
        kind=_KINDS[request.kind],
        version=request.version,
        expected_revision=request.expected_revision,
        reason=request.reason,
        message=request.message,
        step=request.step,
        weight=request.weight,
        reject_active=request.reject_active,
    )


def from_decision(record: DecisionRecord) -> pb.Decision:
    """A decision that was made."""
    decision = record.decision
    return pb.Decision(
        decision_id=decision.decision_id,
        kind=getattr(pb, f"DECISION_KIND_{decision.kind.name}"),
        version=decision.version,
        reason=decision.reason,
        message=decision.message,
        at=_timestamp(record.at),
        revision=record.revision,
        weight=decision.weight,
    )


def to_run_kind(kind: int) -> RunKind:
    """What a run is for. Raises `InvalidInput`."""
    if kind not in _RUN_KINDS:
        raise InvalidInput(f"kind {kind} is no kind of run", field="kind")
    return _RUN_KINDS[kind]


def from_run(run: Run) -> pb.Run:
    """A run."""
    eta = None
    if run.eta is not None:
        eta = Duration()
        eta.FromTimedelta(timedelta(seconds=run.eta))
    return pb.Run(
        run_id=run.run_id,
        pack=run.pack,
        kind=getattr(pb, f"RUN_KIND_{run.kind.name}"),
        state=getattr(pb, f"RUN_STATE_{run.state.name}"),
        reason=run.reason,
        created_at=_timestamp(run.created_at),
        started_at=_timestamp(run.started_at),
        ended_at=_timestamp(run.ended_at),
        percent=run.percent,
        eta=eta,
        stage=run.stage,
        metrics=run.metrics,
        message=run.message,
        dataset_digest=run.dataset_digest,
        version=run.version,
        attempts=run.attempts,
        trials=[_from_trial(trial) for trial in run.trials],
    )


def _from_trial(trial: Mapping[str, Any]) -> pb.Trial:
    took = Duration()
    took.FromTimedelta(timedelta(seconds=trial["seconds"]))
    parameters = {name: str(value) for name, value in trial["parameters"].items()}
    return pb.Trial(parameters=parameters, metrics=trial["metrics"], took=took, error=trial["error"])


def from_dataset(pack: str, version: DatasetVersion) -> pb.DatasetVersion:
    """A dataset version."""
    return pb.DatasetVersion(
        pack=pack,
        digest=version.digest,
        created_at=_timestamp(version.created_at),
        training_examples=version.training_examples,
        golden_examples=version.golden_examples,
        origin=version.origin,
        corrections=version.corrections,
    )


def from_imported(pack: str, imported: Imported) -> pb.ImportDatasetResponse:
    """What an import changed."""
    rows = [pb.BadRow(source=row.source, line=row.line, reason=row.reason) for row in imported.bad_rows]
    return pb.ImportDatasetResponse(
        dataset=from_dataset(pack, imported.version),
        added=imported.added,
        replaced=imported.replaced,
        unchanged=imported.unchanged,
        bad_row_count=imported.bad_row_count,
        bad_rows=rows,
    )


def _from_gate(gate: GateResult) -> pb.GateResult:
    return pb.GateResult(
        outcome=getattr(pb, f"GATE_OUTCOME_{gate.outcome.name}"),
        reason=gate.reason,
        metric=gate.metric,
        golden_digest=gate.golden_digest,
        old=_from_slice(gate.old),
        new=_from_slice(gate.new),
        judged_at=_timestamp(gate.judged_at),
        active_version=gate.active_version,
    )


def _from_slice(part: GateSlice | None) -> pb.GateSlice | None:
    if part is None:
        return None
    return pb.GateSlice(
        examples=part.examples,
        active=part.active,
        candidate=part.candidate,
        difference=part.difference,
        low=part.low,
        high=part.high,
    )


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
