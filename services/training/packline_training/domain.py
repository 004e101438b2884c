"""The service's words as values: versions, where a Pack stands, decisions, runs, datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from packline_core.errors import NotFound


class VersionState(StrEnum):
    """Where a version is in its life."""

    REGISTERED = "registered"
    PASSED = "passed"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


class Phase(StrEnum):
    """Where a Pack's rollout stands."""

    IDLE = "idle"
    SHADOW = "shadow"
    CANARY = "canary"


class GateOutcome(StrEnum):
    """What the gate said."""

    PASSED = "passed"
    FAILED = "failed"
    TOO_FEW = "too_few"
    SKIPPED = "skipped"


class DecisionKind(StrEnum):
    """The ways in which a Pack's rollout changes."""

    BEGIN_ROLLOUT = "begin_rollout"
    STEP = "step"
    PROMOTE = "promote"
    REJECT = "reject"
    ROLL_BACK = "roll_back"


class RunKind(StrEnum):
    """What a run is for."""

    TRAIN = "train"
    GATE = "gate"


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self in {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}


@dataclass(frozen=True, slots=True)
class GateSlice:
    """Both models on one part of the golden snapshot: the metric of each, and candidate minus active with the bounds
    of its 90 % interval.
    """

    examples: int
    active: float
    candidate: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GateResult:
    """The gate's judgement of one version against the one that was active then."""

    outcome: GateOutcome
    reason: str
    metric: str
    judged_at: datetime
    active_version: str
    golden_digest: str = ""
    old: GateSlice | None = None
    new: GateSlice | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A bundle registered for a Pack. `object_name` is where the store keeps it; `gate_dataset` the number of the
    dataset version whose golden snapshot judged it, 0 where none did.
    """

    number: int
    digest: str
    state: VersionState
    origin: str
    base: str
    created_at: datetime
    object_name: str
    run_id: str = ""
    dataset_digest: str = ""
    reason: str = ""
    gate: GateResult | None = None
    gate_dataset: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`v3`."""
        return f"v{self.number}"


@dataclass(frozen=True, slots=True)
class PackState:
    """Where a Pack stands, with all of its versions by name and the digests that never return."""

    pack: str
    task: str
    revision: int
    active: str
    since: datetime
    versions: Mapping[str, Version]
    rejected: frozenset[str] = frozenset()
    previous: str = ""
    candidate: str = ""
    phase: Phase = Phase.IDLE
    step: int = 0
    weight: int = 0
    approved: str = ""
    rollback_to: str = ""
    last_training_at: datetime | None = None
    trained_corrections: int = 0

    def version(self, name: str) -> Version:
        """A version by name; raises `NotFound`."""
        try:
            return self.versions[name]
        except KeyError:
            raise NotFound(
                f"Pack {self.pack} has no version {name or '(none named)'}; it has {', '.join(self.versions)}",
                reason="VERSION_NOT_FOUND",
                pack=self.pack,
                version=name,
            ) from None

    def with_version(self, version: Version) -> PackState:
        """The same with one version changed."""
        return replace(self, versions={**self.versions, version.name: version})


@dataclass(frozen=True, slots=True)
class Decision:
    """One change of a Pack's rollout, as asked for."""

    decision_id: str
    kind: DecisionKind
    version: str
    expected_revision: int
    reason: str = ""
    message: str = ""
    step: int = 0
    weight: int = 0
    reject_active: bool = False


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A decision that was made; `revision` is the Pack's after it."""

    decision: Decision
    at: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """An immutable set of labelled examples; `number` grows from 1 within its dataset."""

    number: int
    digest: str
    created_at: datetime
    training_examples: int
    golden_examples: int
    origin: str
    corrections: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `eta` is in seconds from now; `metrics` are the newest known; `trials` are what it tried, best first,
    each as its `parameters`, `metrics`, `seconds` and `error`.
    """

    pack: str
    run_id: str
    kind: RunKind
    state: RunState
    reason: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    percent: float = 0.0
    eta: float | None = None
    stage: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    trials: Sequence[Mapping[str, Any]] = ()
    message: str = ""
    dataset_digest: str = ""
    version: str = ""
    attempts: int = 0
    cancel_requested: bool = False
