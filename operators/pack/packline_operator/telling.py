"""What people are told: the status of one pass, and the events that it adds to those told before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from packline_operator import conditions as c
from packline_operator.domain import Condition, Event, Observed, Status
from packline_operator.facts import Registry, Run, RunKind, RunState
from packline_operator.moves import Move
from packline_operator.reasons import Reason
from packline_operator.serving import traffic
from packline_operator.training_rules import training_outlook
from packline_operator.words import moment

_HISTORY = 20
_REASONS = {str(reason): reason for reason in Reason}
_WARNINGS = frozenset(
    {
        *(Reason.MANIFEST_UNREADABLE, Reason.PEER_UNREACHABLE, Reason.ACTION_FAILED, Reason.SERVING_FAILED),
        *(Reason.SERVING_DIFFERED, Reason.TRAINING_FAILED),
        *(Reason.POOL_MISSING, Reason.POOL_TOO_SMALL, Reason.FLEET_FULL),
        *(Reason.GATE_RUN_FAILED, Reason.GATE_FAILED, Reason.TOO_LITTLE_TRAFFIC, Reason.DIGEST_REJECTED),
        *(Reason.BUNDLE_REFUSED, Reason.BUNDLE_QUARANTINED, Reason.MORE_ERRORS, Reason.SLOWER),
        *(Reason.LESS_AGREEMENT, Reason.MORE_CORRECTIONS, Reason.FEWER_HITS, Reason.ROLLBACK_IMPOSSIBLE),
    }
)
# What is told when a condition takes it on. What decisions and runs tell is not told twice.
_TOLD_BY = {
    c.READY: {
        *(Reason.MANIFEST_UNREADABLE, Reason.DELETING),
        *(Reason.POOL_MISSING, Reason.POOL_TOO_SMALL, Reason.FLEET_FULL),
    },
    c.SERVING: {Reason.RUNNING, Reason.SERVING_FAILED},
    c.ROLLED_OUT: {Reason.TOO_LITTLE_TRAFFIC, Reason.WAITS_FOR_APPROVAL, Reason.ROLLBACK_IMPOSSIBLE},
    c.TRAINED: set(),
    c.RECONCILED: {Reason.PEER_UNREACHABLE, Reason.ACTION_FAILED},
}
_TRAINING = {
    RunState.QUEUED: Reason.TRAINING_STARTED,
    RunState.RUNNING: Reason.TRAINING_STARTED,
    RunState.SUCCEEDED: Reason.TRAINING_SUCCEEDED,
    RunState.FAILED: Reason.TRAINING_FAILED,
    RunState.CANCELLED: Reason.TRAINING_CANCELLED,
}
_GATE = {
    RunState.QUEUED: Reason.GATE_STARTED,
    RunState.RUNNING: Reason.GATE_STARTED,
    RunState.FAILED: Reason.GATE_RUN_FAILED,
    RunState.CANCELLED: Reason.GATE_RUN_FAILED,
}


def tell(observed: Observed, move: Move, applied: str, now: datetime) -> Status:
    """The status of this pass.

    Args:
        observed: What the pass saw.
        move: The rollout's next move.
        applied: Digest of the application's configuration that is in place as wanted, or was last.
        now: The time.
    """
    told = c.conditions(observed, move, now)
    before, registry = observed.status, observed.registry
    schedule = observed.manifest.spec.training.triggers.schedule or "" if observed.manifest else ""
    kept = before.schedule_since if before and before.schedule == schedule else None
    if registry is None:
        return Status(
            phase="Deleting" if observed.deleting else before.phase if before else "Pending",
            observed_generation=observed.generation,
            active=before.active if before else "",
            candidate=before.candidate if before else "",
            traffic=before.traffic if before else {},
            conditions=told,
            why=told[0].message,
            next=_next(observed, move, now),
            history=before.history if before else (),
            revision=before.revision if before else 0,
            runs=before.runs if before else (),
            applied=applied,
            schedule=schedule,
            schedule_since=kept or (now if schedule else None),
        )
    pinned = observed.manifest is not None and observed.manifest.spec.model.pin is not None
    return Status(
        phase="Deleting" if observed.deleting else str(registry.phase),
        observed_generation=observed.generation,
        active=registry.active.name,
        candidate=registry.candidate.name if registry.candidate else "",
        traffic=traffic(registry, pinned),
        conditions=told,
        why=_why(registry, told[0]),
        next=_next(observed, move, now),
        history=registry.decisions[:_HISTORY],
        revision=registry.revision,
        runs=tuple(f"{run.run_id} {_step(run)}" for run in _newest(registry)),
        applied=applied,
        schedule=schedule,
        schedule_since=kept or (now if schedule else None),
    )


def events(observed: Observed, status: Status, found: tuple[str, ...], now: datetime) -> Iterator[Event]:
    """What is new since the status before: decisions, runs, conditions, and a configuration that others changed.

    Args:
        observed: What the pass saw.
        status: What it tells.
        found: Where Serve's configuration was not what the loop had last seen in place.
        now: The time.
    """
    before, registry = observed.status, observed.registry
    for decision in reversed(registry.decisions if registry else ()):
        if decision.revision > (before.revision if before else 0):
            reason = _REASONS.get(decision.reason, Reason.DECIDED_ELSEWHERE)
            yield _event(decision.decision_id, decision.at, reason, decision.message or decision.reason)
    for run in _newest(registry) if registry else ():
        reasons = _TRAINING if run.kind is RunKind.TRAIN else _GATE
        if run.state in reasons and f"{run.run_id} {_step(run)}" not in (before.runs if before else ()):
            words = run.message if run.ended_at else f"Run {run.run_id} started: {run.reason}."
            yield _event(f"{run.run_id}-{_step(run)}", run.ended_at or run.created_at, reasons[run.state], words)
    if registry is not None and (before is None or not before.active):
        words = f"{registry.active.name} answers: {registry.active.digest}."
        yield _event(f"registered-{registry.active.digest}", registry.active.created_at, Reason.REGISTERED, words)
    for condition in status.conditions:
        # Services that start with the Pack's first pass are not missed yet.
        starting = before is None and condition.reason == Reason.PEER_UNREACHABLE
        if condition.last_transition == now and condition.reason in _TOLD_BY[condition.type] and not starting:
            key = f"{condition.type}-{condition.reason}-{now.isoformat()}"
            yield _event(key, now, Reason(condition.reason), condition.message)
    if found:
        lost = observed.serving is not None and observed.serving.config is None
        words = (
            "Serve was without the application, as after a start of Ray"
            if lost
            else "Serve's configuration was changed by somebody else: "
        )
        words += "" if lost else "; ".join(found[:3])
        reason = Reason.SERVING_LOST if lost else Reason.SERVING_DIFFERED
        yield _event(f"{reason}-{now.isoformat()}", now, reason, f"{words}. It is applied again.")


def _event(key: str, at: datetime, reason: Reason, message: str) -> Event:
    return Event(key, at, reason, message, reason in _WARNINGS)


def _newest(registry: Registry) -> list[Run]:
    firsts = (next((run for run in registry.runs if run.kind is kind), None) for kind in RunKind)
    return [run for run in firsts if run is not None]


def _step(run: Run) -> str:
    return "Started" if run.in_progress else str(run.state)


def _why(registry: Registry, ready: Condition) -> str:
    if ready.status != "True":
        return ready.message
    if not registry.decisions:
        return f"{registry.active.name} answers since {moment(registry.active.created_at)}; nothing was decided yet."
    last = registry.decisions[0]
    return f"{last.message or last.reason} ({moment(last.at)})"


def _next(observed: Observed, move: Move, now: datetime) -> str:
    if observed.deleting:
        return "Its application is removed, then all that is kept under its name."
    if observed.manifest is None:
        return "Nothing, until a manifest that can be read is applied."
    if observed.registry is None:
        return "It waits for training to answer." if observed.unreachable else "The base model is registered as v1."
    outlook = training_outlook(observed, now)
    return outlook if move.reason is Reason.NO_ROLLOUT else f"{move.message} {outlook}".strip()
