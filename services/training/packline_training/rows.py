"""Rows of the registry's tables <-> the domain's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from packline_training.domain import (
    DatasetVersion,
    Decision,
    DecisionKind,
    DecisionRecord,
    GateOutcome,
    GateResult,
    GateSlice,
    PackState,
    Phase,
    Run,
    RunKind,
    RunState,
    Version,
    VersionState,
)

Row = Mapping[Any, Any]

_STATE_COLUMNS = tuple(field.name for field in fields(PackState) if field.name not in {"versions", "rejected"})


def version_row(version: Version) -> dict[str, Any]:
    """A row of `versions`, without its Pack."""
    row: dict[str, Any] = {field.name: getattr(version, field.name) for field in fields(version)}
    return {**row, "gate": None if version.gate is None else _gate_json(version.gate), "metrics": dict(version.metrics)}


def read_version(row: Row) -> Version:
    """The version of a row."""
    values = {field.name: row[field.name] for field in fields(Version)}
    gate = None if row["gate"] is None else _read_gate(row["gate"])
    return Version(**{**values, "state": VersionState(row["state"]), "gate": gate})


def state_row(state: PackState) -> dict[str, Any]:
    """A state's columns of `packs`."""
    return {name: getattr(state, name) for name in _STATE_COLUMNS}


def read_state(pack: Row, versions: Iterable[Row], rejected: Iterable[str]) -> PackState:
    """A Pack's state from its rows."""
    by_name = {version.name: version for version in map(read_version, versions)}
    values = {name: pack[name] for name in _STATE_COLUMNS}
    return PackState(**{**values, "phase": Phase(pack["phase"])}, versions=by_name, rejected=frozenset(rejected))


def decision_row(decision: Decision, at: datetime, revision: int) -> dict[str, Any]:
    """A row of `decisions`, without its Pack."""
    return {**asdict(decision), "at": at, "revision": revision}


def read_decision(row: Row) -> DecisionRecord:
    """The decision of a row."""
    values = {field.name: row[field.name] for field in fields(Decision)}
    return DecisionRecord(Decision(**{**values, "kind": DecisionKind(row["kind"])}), row["at"], row["revision"])


def read_dataset(row: Row) -> DatasetVersion:
    """The dataset version of a row."""
    return DatasetVersion(**{field.name: row[field.name] for field in fields(DatasetVersion)})


def read_run(row: Row) -> Run:
    """The run of a row."""
    values = {field.name: row[field.name] for field in fields(Run)}
    trials = tuple(row["trials"])
    return Run(**{**values, "kind": RunKind(row["kind"]), "state": RunState(row["state"]), "trials": trials})


def _gate_json(gate: GateResult) -> dict[str, Any]:
    return {**asdict(gate), "judged_at": gate.judged_at.isoformat()}


def _read_gate(raw: Row) -> GateResult:
    parts = {name: None if raw[name] is None else GateSlice(**raw[name]) for name in ("old", "new")}
    judged_at = datetime.fromisoformat(raw["judged_at"])
    return GateResult(**{**raw, **parts, "outcome": GateOutcome(raw["outcome"]), "judged_at": judged_at})
