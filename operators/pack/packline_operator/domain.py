"""What the loop sees, what it may do, and what it tells: plain values, without gRPC, Ray, Kubernetes or files.

`Observed` is everything that `reconcile` may look at. A peer that did not answer is a fact in it, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from packline_core.manifest import Pack

from packline_operator.reasons import Reason


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
class Figures:
    """One version in one window, as monitoring saw it; `agreement` is the mean over `shadow_requests`."""

    requests: int = 0
    errors: int = 0
    shadow_requests: int = 0
    shadow_errors: int = 0
    latency: Latency | None = None
    agreement: float = 0.0
    corrected: int = 0


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


@dataclass(frozen=True, slots=True)
class Condition:
    """As in Kubernetes: `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str
    message: str
    last_transition: datetime
    observed_generation: int


@dataclass(frozen=True, slots=True)
class Status:
    """What is told of a Pack, and the little that the next pass needs to know of this one.

    Attributes:
        phase: Pending, Idle, Shadow, Canary or Deleting.
        active: The version that answers; empty before there is one.
        candidate: The version in rollout; empty where there is none.
        traffic: Version -> percent of the calls.
        conditions: By type, `Ready` first.
        why: How it came to this, in a sentence.
        next: What will happen and when, in a sentence.
        history: The newest decisions, newest first.
        observed_generation: Of the manifest that this speaks of.
        revision: Of the registry: decisions up to it have become events.
        runs: The newest training and gate run, as `ID STATE`: what has been told of them.
        applied: Digest of the application's configuration that was last seen in place as wanted.
        schedule: The cron expression that is in force.
        schedule_since: Since when: earlier times of it are not made up for.
    """

    phase: str
    observed_generation: int
    active: str = ""
    candidate: str = ""
    traffic: Mapping[str, int] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    why: str = ""
    next: str = ""
    history: tuple[Decision, ...] = ()
    revision: int = 0
    runs: tuple[str, ...] = ()
    applied: str = ""
    schedule: str = ""
    schedule_since: datetime | None = None

    def condition(self, type_: str) -> Condition | None:
        """A condition by type."""
        return next((condition for condition in self.conditions if condition.type == type_), None)


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that one pass over one Pack may look at.

    Attributes:
        name: The Pack's.
        generation: Of the manifest.
        manifest: None where it cannot be read; `unreadable` then says why.
        deleting: Whether its deletion was asked for.
        status: What was told last.
        registry: None where training did not answer or does not know the Pack.
        monitored: None where monitoring did not answer.
        serving: None where Serve did not answer.
        unreachable: Peers that did not answer, and with what.
        failures: Actions that failed when last tried -> why.
        new_base: A newer base model in the catalogue; empty where there is none.
    """

    name: str
    generation: int = 1
    manifest: Pack | None = None
    unreadable: str = ""
    deleting: bool = False
    status: Status | None = None
    registry: Registry | None = None
    monitored: Monitored | None = None
    serving: Serving | None = None
    unreachable: Mapping[Peer, str] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    new_base: str = ""


@dataclass(frozen=True, slots=True)
class RegisterPack:
    """Makes the Pack, or its changed manifest, known to training."""

    manifest_json: str


@dataclass(frozen=True, slots=True)
class StartRun:
    """Starts a run; the id makes it idempotent."""

    run_id: str
    kind: RunKind
    reason: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Decide:
    """Changes the rollout; compare-and-set on the revision."""

    decision_id: str
    expected_revision: int
    kind: DecisionKind
    version: str
    reason: Reason
    message: str
    step: int = 0
    weight: int = 0
    reject_active: bool = False


@dataclass(frozen=True, slots=True)
class ApplyServing:
    """Puts the Pack's application into the fleet's configuration, or takes it out where `config` is None."""

    config: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ForgetPack:
    """Makes a service forget the Pack."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class RemovePack:
    """Removes the manifest and what was told of it: the end of a deletion."""


Action = RegisterPack | StartRun | Decide | ApplyServing | ForgetPack | RemovePack


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `key` is the same whenever the same thing is told again."""

    key: str
    at: datetime
    reason: Reason
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pass decides; the actions are to be done in their order, up to the first that fails."""

    actions: tuple[Action, ...]
    status: Status
    events: tuple[Event, ...]
