"""What the peers say: versions, runs and decisions of the registry, figures and replicas, applications of Serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Phase(StrEnum):
    """Where a rollout stands, in the registry's words."""

    IDLE = "Idle"
    SHADOW = "Shadow"
    CANARY = "Canary"


class VersionState(StrEnum):
    """What became of a version."""

    REGISTERED = "Registered"
    PASSED = "Passed"
    CANDIDATE = "Candidate"
    ACTIVE = "Active"
    RETIRED = "Retired"
    REJECTED = "Rejected"


class GateOutcome(StrEnum):
    """What the gate said."""

    PASSED = "Passed"
    FAILED = "Failed"
    TOO_FEW = "TooFew"
    SKIPPED = "Skipped"


class RunKind(StrEnum):
    """What a run is for."""

    TRAIN = "Train"
    GATE = "Gate"


class RunState(StrEnum):
    """Where a run stands."""

    QUEUED = "Queued"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class SlotState(StrEnum):
    """What a replica's slot holds."""

    EMPTY = "Empty"
    LOADING = "Loading"
    READY = "Ready"
    REFUSED = "Refused"
    QUARANTINED = "Quarantined"


class DecisionKind(StrEnum):
    """The ways in which a rollout changes."""

    BEGIN_ROLLOUT = "BeginRollout"
    STEP = "Step"
    PROMOTE = "Promote"
    REJECT = "Reject"
    ROLL_BACK = "RollBack"


class Peer(StrEnum):
    """Those whom the loop asks."""

    TRAINING = "training"
    MONITORING = "monitoring"
    SERVE = "Ray Serve"


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate's judgement."""

    outcome: GateOutcome
    reason: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the registry."""

    name: str
    digest: str
    state: VersionState
    uri: str
    created_at: datetime
    gate: Gate | None = None

    @property
    def number(self) -> int:
        """3 of `v3`."""
        return int(self.name[1:])


@dataclass(frozen=True, slots=True)
class Run:
    """A run of training or of the gate."""

    run_id: str
    kind: RunKind
    state: RunState
    reason: str
    created_at: datetime
    version: str = ""
    message: str = ""
    stage: str = ""
    percent: float = 0.0
    ended_at: datetime | None = None

    @property
    def in_progress(self) -> bool:
        """Whether it has not ended."""
        return self.state in {RunState.QUEUED, RunState.RUNNING}


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision that the registry took in."""

    decision_id: str
    kind: DecisionKind
    version: str
    reason: str
    message: str
    at: datetime
    revision: int
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Registry:
    """What the training service knows of one Pack. `decisions` and `runs` are the newest, newest first."""

    spec: Mapping[str, Any]
    revision: int
    active: Version
    phase: Phase
    since: datetime
    previous: Version | None = None
    candidate: Version | None = None
    step: int = 0
    weight: int = 0
    approved_version: str = ""
    rollback_to: str = ""
    last_training_at: datetime | None = None
    trained_corrections: int = 0
    versions: tuple[Version, ...] = ()
    runs: tuple[Run, ...] = ()
    decisions: tuple[Decision, ...] = ()

    def version(self, name: str) -> Version | None:
        """A version by name."""
        return next((version for version in self.versions if version.name == name), None)


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of a version's latency, in milliseconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class Hits:
    """Of a version's answers, those that users took something of; the share of them with its 90 % interval."""

    answers: int = 0
    hits: int = 0
    rate: float = 0.0
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One version in one window, as monitoring saw it; `agreement` is the mean over `shadow_requests`, `hits` is None
    where truths do not say what users took.
    """

    requests: int = 0
    errors: int = 0
    shadow_requests: int = 0
    shadow_errors: int = 0
    latency: Latency | None = None
    agreement: float = 0.0
    corrected: int = 0
    hits: Hits | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """What one replica holds."""

    state: SlotState
    version: str = ""
    digest: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica's last report."""

    replica_id: str
    active: Slot
    candidate: Slot


@dataclass(frozen=True, slots=True)
class Monitored:
    """What the monitoring service knows of one Pack.

    Attributes:
        corrections: In all time.
        figures: By version, since the registry's `since`.
        before: By version, from one watch window before the last promotion on; what a promoted version is compared
            with.
        replicas: Their last reports.
        drift: Why the input is taken to have changed; empty where it has not.
    """

    corrections: int = 0
    figures: Mapping[str, Figures] = field(default_factory=dict)
    before: Mapping[str, Figures] = field(default_factory=dict)
    replicas: tuple[Replica, ...] = ()
    drift: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """What one pool offers.

    Attributes:
        gpus: Of its best node; None where that is not known.
        nodes: How many nodes it may have; None where that is not known.
    """

    gpus: float | None = None
    nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """What Serve says of one Pack's application.

    Attributes:
        config: The application as its configuration stands; None where there is none.
        status: Serve's word, such as RUNNING; empty where it knows no such application.
        message: Serve's explanation of the status.
        replicas: Ids of the replicas that run.
    """

    config: Mapping[str, Any] | None = None
    status: str = ""
    message: str = ""
    replicas: frozenset[str] = frozenset()
