"""What the loop sees, what it may do, and what it tells: plain values, without gRPC, Ray, Kubernetes or files.

`Observed` is everything that `reconcile` may look at. A peer that did not answer is a fact in it, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from packline_core.manifest import Pack

from packline_operator.facts import Decision, DecisionKind, Monitored, Peer, Pool, Registry, RunKind, Serving
from packline_operator.reasons import Reason


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
        pools: Of the fleet, by name; None where they are not known.
        limit: How many Packs the fleet carries, where older ones leave no room for this one; else 0.
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
    pools: Mapping[str, Pool] | None = None
    limit: int = 0


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
