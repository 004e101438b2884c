"""The conditions of a Pack: `Ready` sums up, and each of the others tells one part of the loop."""

from __future__ import annotations

from datetime import datetime

from packline_operator.domain import Condition, Observed
from packline_operator.facts import RunState, SlotState
from packline_operator.moves import Move
from packline_operator.placing import obstacle
from packline_operator.reasons import Reason
from packline_operator.training_rules import newest_training

READY, SERVING, ROLLED_OUT, TRAINED, RECONCILED = "Ready", "Serving", "RolledOut", "Trained", "Reconciled"
_Told = tuple[str, Reason, str]
_RUN_REASONS = {
    RunState.SUCCEEDED: ("True", Reason.TRAINING_SUCCEEDED),
    RunState.FAILED: ("False", Reason.TRAINING_FAILED),
    RunState.CANCELLED: ("False", Reason.TRAINING_CANCELLED),
}


def conditions(observed: Observed, move: Move, now: datetime) -> tuple[Condition, ...]:
    """All of a Pack's conditions; one that says what it said before keeps its time."""
    told = {
        READY: _ready(observed),
        SERVING: _serving(observed),
        ROLLED_OUT: _rolled_out(observed, move),
        TRAINED: _trained(observed),
        RECONCILED: _reconciled(observed),
    }
    return tuple(_condition(observed, type_, told[type_], now) for type_ in told)


def _condition(observed: Observed, type_: str, told: _Told, now: datetime) -> Condition:
    status, reason, message = told
    before = observed.status.condition(type_) if observed.status else None
    same = before is not None and (before.status, before.reason) == (status, reason)
    since = before.last_transition if before is not None and same else now
    return Condition(type_, status, str(reason), message, since, observed.generation)


def _ready(observed: Observed) -> _Told:
    if observed.deleting:
        return "False", Reason.DELETING, "The Pack is being deleted."
    if observed.manifest is None:
        return "False", Reason.MANIFEST_UNREADABLE, observed.unreadable
    if (found := obstacle(observed)) is not None:
        return "False", found.reason, found.message
    if observed.registry is None and not observed.unreachable:
        trouble = "; ".join(observed.failures.values())
        return "False", Reason.NOT_REGISTERED, trouble or "The base model is being registered."
    return _serving(observed)


def _serving(observed: Observed) -> _Told:
    serving = observed.serving
    if serving is None:
        return "Unknown", Reason.PEER_UNREACHABLE, "; ".join(observed.unreachable.values()) or "Serve is silent."
    if not serving.status:
        lost = observed.status is not None and observed.status.applied
        words = "Serve has lost the application; it is applied again." if lost else "Nothing serves it yet."
        return "False", Reason.SERVING_LOST if lost else Reason.DEPLOYING, words
    if serving.status in {"DEPLOY_FAILED", "UNHEALTHY"}:
        return "False", Reason.SERVING_FAILED, serving.message or f"Serve says {serving.status}."
    if serving.status != "RUNNING":
        return "False", Reason.DEPLOYING, f"Serve says {serving.status}."
    reports = observed.monitored.replicas if observed.monitored else ()
    active = [report.active for report in reports if report.replica_id in serving.replicas]
    if active and not any(slot.state is SlotState.READY for slot in active):
        bad = {SlotState.REFUSED, SlotState.QUARANTINED}
        refused = next((slot for slot in active if slot.state in bad), None)
        if refused is not None:
            return "False", Reason.SERVING_FAILED, f"No replica can open {refused.version}: {refused.message}"
        return "False", Reason.DEPLOYING, f"{active[0].version or 'The active version'} is being loaded."
    count = len(serving.replicas)
    if count == 0:
        return "True", Reason.RUNNING, "It sleeps: no replica runs until a call comes."
    return "True", Reason.RUNNING, "1 replica runs." if count == 1 else f"{count} replicas run."


def _rolled_out(observed: Observed, move: Move) -> _Told:
    if observed.registry is None:
        return "Unknown", move.reason, move.message
    done = observed.registry.candidate is None and move.reason in {
        Reason.NO_ROLLOUT,
        Reason.WAITS_FOR_WATCH,
        Reason.PINNED,
    }
    return "True" if done else "False", move.reason, move.message


def _trained(observed: Observed) -> _Told:
    if observed.registry is None:
        return "Unknown", Reason.NOT_REGISTERED, "Training does not know the Pack yet."
    run = newest_training(observed.registry)
    if run is None:
        return "True", Reason.NOTHING_TO_LEARN, "No training was called for yet."
    if run.in_progress:
        return "Unknown", Reason.TRAINING_STARTED, f"Run {run.run_id} trains ({run.reason})."
    status, reason = _RUN_REASONS[run.state]
    return status, reason, run.message or f"Run {run.run_id} has ended: {run.state.lower()}."


def _reconciled(observed: Observed) -> _Told:
    if observed.unreachable:
        return "False", Reason.PEER_UNREACHABLE, "; ".join(observed.unreachable.values())
    if (found := obstacle(observed)) is not None:
        return "False", found.reason, found.message
    if observed.failures:
        return "False", Reason.ACTION_FAILED, "; ".join(observed.failures.values())
    return "True", Reason.DONE, "All that was decided is done."
