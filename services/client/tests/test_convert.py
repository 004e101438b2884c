"""Protobuf to dataclasses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.descriptor import EnumDescriptor
from packline.monitoring.v1 import monitoring_pb2
from packline.training.v1 import training_pb2 as pb
from packline_client.convert import from_proto
from packline_client.monitoring import (
    Comparison,
    Corrected,
    Erased,
    ErrorCase,
    HitRate,
    Interval,
    OffPolicy,
    Replica,
    SlotState,
    VersionFigures,
)
from packline_client.training_types import (
    DatasetVersion,
    Decision,
    DecisionKind,
    GateOutcome,
    ImportResult,
    PackState,
    Phase,
    Run,
    RunState,
    Trial,
    Version,
    VersionState,
)


def test_every_kind_of_field_is_read() -> None:
    run = pb.Run(run_id="r1", kind=pb.RUN_KIND_TRAIN, state=pb.RUN_STATE_RUNNING, percent=12.5, metrics={"cer": 0.25})
    run.created_at.FromDatetime(datetime(2026, 1, 2, 3, 4, 5))
    run.eta.FromTimedelta(timedelta(seconds=90))
    read = from_proto(Run, run)
    assert read.state is RunState.RUNNING
    assert not read.state.ended
    assert read.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read.eta == timedelta(seconds=90)
    assert read.started_at is None
    assert read.metrics == {"cer": 0.25}
    assert read.percent == 12.5


def test_messages_within_messages_are_read_and_absent_ones_are_none() -> None:
    version = pb.Version(version="v2", state=pb.VERSION_STATE_CANDIDATE)
    version.gate.outcome = pb.GATE_OUTCOME_TOO_FEW
    version.gate.new.examples = 3
    state = pb.PackState(pack="a", candidate=version, phase=pb.PHASE_CANARY, weight=10)
    read = from_proto(PackState, state)
    assert read.active is None
    assert read.candidate is not None
    assert read.candidate.state is VersionState.CANDIDATE
    assert read.phase is Phase.CANARY
    gate = read.candidate.gate
    assert gate is not None
    assert gate.outcome is GateOutcome.TOO_FEW
    assert gate.old is None
    assert gate.new is not None
    assert gate.new.examples == 3


def test_repeated_messages_become_tuples() -> None:
    comparison = monitoring_pb2.CompareVersionsResponse(corrections_total=4)
    comparison.versions.add(model_version="v1", requests=7, codes={"OK": 7})
    read = from_proto(Comparison, comparison)
    assert [(v.model_version, v.requests, v.codes) for v in read.versions] == [("v1", 7, {"OK": 7})]


def test_a_value_of_a_newer_server_is_unspecified() -> None:
    raw = monitoring_pb2.Replica(active=monitoring_pb2.Slot(version="v1"))
    raw.active.state = 99  # type: ignore[assignment]
    replica = from_proto(Replica, raw)
    assert replica.active is not None
    assert replica.active.state is SlotState.UNSPECIFIED


def test_the_sdk_knows_every_value_and_field_of_the_protos() -> None:
    enums: list[tuple[type, EnumDescriptor]] = [
        (RunState, pb.RunState.DESCRIPTOR),
        (Phase, pb.Phase.DESCRIPTOR),
        (VersionState, pb.VersionState.DESCRIPTOR),
        (GateOutcome, pb.GateOutcome.DESCRIPTOR),
        (DecisionKind, pb.DecisionKind.DESCRIPTOR),
        (SlotState, monitoring_pb2.SlotState.DESCRIPTOR),
    ]
    for ours, theirs in enums:
        prefix = theirs.values[0].name.removesuffix("UNSPECIFIED")
        assert {str(value) for value in ours} == {v.name.removeprefix(prefix).lower() for v in theirs.values}  # type: ignore[attr-defined]
    for kind, message in (
        (Run, pb.Run),
        (Trial, pb.Trial),
        (Version, pb.Version),
        (PackState, pb.PackState),
        (Decision, pb.Decision),
        (DatasetVersion, pb.DatasetVersion),
        (ImportResult, pb.ImportDatasetResponse),
        (Comparison, monitoring_pb2.CompareVersionsResponse),
        (Replica, monitoring_pb2.Replica),
        (VersionFigures, monitoring_pb2.VersionFigures),
        (Interval, monitoring_pb2.Interval),
        (HitRate, monitoring_pb2.HitRate),
        (OffPolicy, monitoring_pb2.OffPolicy),
        (ErrorCase, monitoring_pb2.ErrorCase),
        (Corrected, monitoring_pb2.CorrectResponse),
        (Erased, monitoring_pb2.ErasePredictionResponse),
    ):
        assert list(kind.__dataclass_fields__) == [field.name for field in message.DESCRIPTOR.fields]
        from_proto(kind, message())  # type: ignore[type-var]
