"""What `client.training` gives back; the fields are those of `packline/training/v1/training.proto`, explained there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class RunKind(StrEnum):
    """What a run does."""

    UNSPECIFIED = "unspecified"
    TRAIN = "train"
    GATE = "gate"


class RunState(StrEnum):
    """Where a run is."""

    UNSPECIFIED = "unspecified"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}


class Phase(StrEnum):
    """Where a rollout is."""

    UNSPECIFIED = "unspecified"
    IDLE = "idle"
    SHADOW = "shadow"
    CANARY = "canary"


class VersionState(StrEnum):
    """What a version is to its Pack."""

    UNSPECIFIED = "unspecified"
    REGISTERED = "registered"
    PASSED = "passed"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


class GateOutcome(StrEnum):
    """What the gate said."""

    UNSPECIFIED = "unspecified"
    PASSED = "passed"
    FAILED = "failed"
    TOO_FEW = "too_few"
    SKIPPED = "skipped"


class DecisionKind(StrEnum):
    """What was decided."""

    UNSPECIFIED = "unspecified"
    BEGIN_ROLLOUT = "begin_rollout"
    STEP = "step"
    PROMOTE = "promote"
    REJECT = "reject"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be imported; `line` counts from 1, 0 means the whole file."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """An immutable set of labelled examples."""

    pack: str
    digest: str
    created_at: datetime | None
    training_examples: int
    golden_examples: int
    origin: str
    corrections: int


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did: examples added, replaced and unchanged, and the first hundred bad rows of all."""

    dataset: DatasetVersion | None
    added: int
    replaced: int
    unchanged: int
    bad_row_count: int
    bad_rows: tuple[BadRow, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One of the things that a training tried; `error` says why it made nothing."""

    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    took: timedelta
    error: str


@dataclass(frozen=True, slots=True)
class Run:
    """A run; `percent` is 0 to 100, `message` its outcome in a sentence."""

    run_id: str
    pack: str
    kind: RunKind
    state: RunState
    reason: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    percent: float
    eta: timedelta | None
    stage: str
    metrics: Mapping[str, float]
    message: str
    dataset_digest: str
    version: str
    attempts: int
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True, slots=True)
class GateSlice:
    """Both models on one part of the golden snapshot; `difference` is candidate minus active, with its 90 % bounds."""

    examples: int
    active: float
    candidate: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """How a candidate did at the gate."""

    outcome: GateOutcome
    reason: str
    metric: str
    golden_digest: str
    old: GateSlice | None
    new: GateSlice | None
    judged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Version:
    """A bundle registered for a Pack."""

    version: str
    digest: str
    state: VersionState
    origin: str
    run_id: str
    base: str
    dataset_digest: str
    created_at: datetime | None
    uri: str
    reason: str
    gate: GateResult | None
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PackState:
    """Where a Pack stands; `weight` is the candidate's share of the calls in percent."""

    pack: str
    task: str
    revision: int
    active: Version | None
    previous: Version | None
    candidate: Version | None
    phase: Phase
    step: int
    weight: int
    since: datetime | None
    approved_version: str
    rollback_to: str
    last_training_at: datetime | None
    trained_corrections: int


@dataclass(frozen=True, slots=True)
class RegisteredPack:
    """A Pack with its manifest."""

    state: PackState | None
    manifest_json: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and why."""

    decision_id: str
    kind: DecisionKind
    version: str
    reason: str
    message: str
    at: datetime | None
    revision: int
    weight: int
