"""How a decision changes where a Pack stands: one pure function that refuses whatever must never be.

There is always one active version; a rejected digest never returns; nothing is promoted that is not the candidate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from packline_core.errors import Conflict, FailedPrecondition

from packline_training.domain import Decision, DecisionKind, PackState, Phase, Version, VersionState


def decide(state: PackState, decision: Decision, now: datetime) -> PackState:
    """The Pack's state after a decision, one revision on.

    Raises:
        Conflict: The Pack's revision is not the one that was expected.
        NotFound: No such version.
        FailedPrecondition: The phase or the version's state does not allow it; the message says which.
    """
    if decision.expected_revision != state.revision:
        raise Conflict(
            f"Pack {state.pack} is at revision {state.revision}, not {decision.expected_revision}; read it again and "
            "decide anew",
            reason="REVISION_CHANGED",
            pack=state.pack,
        )
    after = _RULES[decision.kind](state, decision, state.version(decision.version))
    return replace(after, revision=state.revision + 1, since=now)


def accept(state: PackState, version: Version) -> PackState:
    """The state with one more version.

    Raises:
        FailedPrecondition: Its digest was rejected before.
    """
    if version.digest in state.rejected:
        raise _not_allowed(state, f"{version.digest} was rejected before and never returns", reason="DIGEST_REJECTED")
    return state.with_version(version)


def approve(state: PackState, name: str) -> PackState:
    """The state with a user's leave for a version; with no name, for the one in rollout or else the newest that waits.

    Raises:
        FailedPrecondition: It does not wait for anything.
    """
    waits = {VersionState.REGISTERED, VersionState.PASSED, VersionState.CANDIDATE}
    waiting = [version for version in state.versions.values() if version.state in waits]
    if not name and not waiting:
        raise _not_allowed(state, "no version waits for approval")
    version = state.version(name or state.candidate or max(waiting, key=lambda v: v.number).name)
    if version.state not in waits:
        raise _not_allowed(state, f"{version.name} is {version.state} and waits for no approval")
    return replace(state, approved=version.name)


def ask_rollback(state: PackState, name: str) -> PackState:
    """The state with a user's wish for another version; with no name, for an end of the rollout or else the previous.

    Raises:
        FailedPrecondition: There is none, or it never served.
    """
    name = name or (state.active if state.candidate else state.previous)
    if not name:
        raise _not_allowed(state, "there is no previous version to roll back to; name one that served before")
    version = state.version(name)
    calls_off = bool(state.candidate) and version.name == state.active
    if not calls_off and version.state is not VersionState.RETIRED:
        raise _not_allowed(state, f"{version.name} is {version.state}; only a version that served before can return")
    return replace(state, rollback_to=version.name)


def _begin_rollout(state: PackState, decision: Decision, version: Version) -> PackState:
    if state.phase is not Phase.IDLE:
        raise _not_allowed(state, f"{state.candidate} is in rollout ({state.phase}); {version.name} has to wait")
    if version.digest in state.rejected:
        raise _not_allowed(state, f"the digest of {version.name} was rejected before", reason="DIGEST_REJECTED")
    if version.state is not VersionState.PASSED:
        raise _not_allowed(state, f"{version.name} is {version.state}; only a version that passed can be rolled out")
    state = state.with_version(replace(version, state=VersionState.CANDIDATE))
    return replace(state, candidate=version.name, phase=Phase.SHADOW, step=0, weight=0)


def _step(state: PackState, decision: Decision, version: Version) -> PackState:
    _require_candidate(state, version)
    if not 1 <= decision.weight <= 100:
        raise _not_allowed(state, f"a step's weight is 1 to 100 percent, not {decision.weight}")
    if state.phase is Phase.CANARY and (decision.weight <= state.weight or decision.step <= state.step):
        raise _not_allowed(
            state,
            f"{version.name} is at step {state.step} with {state.weight} %, and goes on from there or is rejected; "
            f"asked for step {decision.step} with {decision.weight} %",
        )
    state = _used(state, version.name)
    return replace(state, phase=Phase.CANARY, step=decision.step, weight=decision.weight)


def _promote(state: PackState, decision: Decision, version: Version) -> PackState:
    _require_candidate(state, version)
    state = state.with_version(replace(state.version(state.active), state=VersionState.RETIRED))
    state = replace(_idle(_used(state, version.name)), previous=state.active)
    return _activate(state, version)


def _reject(state: PackState, decision: Decision, version: Version) -> PackState:
    if version.name == state.active:
        raise _not_allowed(state, f"{version.name} is active; roll back to another version and reject it in one go")
    if version.state is VersionState.REJECTED:
        raise _not_allowed(state, f"{version.name} is rejected already")
    state = _rejected(state, version, decision)
    if version.name == state.previous:
        state = replace(state, previous="")
    return _idle(_used(state, state.active)) if version.name == state.candidate else state


def _roll_back(state: PackState, decision: Decision, version: Version) -> PackState:
    if version.name == state.active and state.candidate:
        # Back to active in the middle of a rollout: it is called off.
        return _reject(state, decision, state.version(state.candidate))
    if version.state is not VersionState.RETIRED or version.digest in state.rejected:
        raise _not_allowed(
            state, f"{version.name} is {version.state}; only a version that served before and was not rejected returns"
        )
    if state.candidate:
        # It was judged against a version that is active no more: back to the gate.
        state = state.with_version(_unjudged(state.version(state.candidate)))
    active = state.version(state.active)
    if decision.reject_active:
        state = replace(_rejected(state, active, decision), previous="")
    else:
        state = state.with_version(replace(active, state=VersionState.RETIRED))
        state = replace(_used(state, active.name), previous=active.name)
    return _activate(replace(_idle(state), rollback_to=""), version)


_RULES: dict[DecisionKind, Callable[[PackState, Decision, Version], PackState]] = {
    DecisionKind.BEGIN_ROLLOUT: _begin_rollout,
    DecisionKind.STEP: _step,
    DecisionKind.PROMOTE: _promote,
    DecisionKind.REJECT: _reject,
    DecisionKind.ROLL_BACK: _roll_back,
}


def _activate(state: PackState, version: Version) -> PackState:
    # Versions that wait were judged against another active one: back to the gate.
    waiting = {v.name: _unjudged(v) for v in state.versions.values() if v.state is VersionState.PASSED}
    state = replace(state, active=version.name, versions={**state.versions, **waiting})
    return state.with_version(replace(version, state=VersionState.ACTIVE))


def _rejected(state: PackState, version: Version, decision: Decision) -> PackState:
    why = decision.message or decision.reason
    state = _used(state.with_version(replace(version, state=VersionState.REJECTED, reason=why)), version.name)
    return replace(state, rejected=state.rejected | {version.digest})


def _unjudged(version: Version) -> Version:
    return replace(version, state=VersionState.REGISTERED, gate=None, gate_dataset=0)


def _idle(state: PackState) -> PackState:
    return replace(state, candidate="", phase=Phase.IDLE, step=0, weight=0)


def _used(state: PackState, name: str) -> PackState:
    """A wish about a version is used up once the version has moved on."""
    approved = "" if state.approved == name else state.approved
    return replace(state, approved=approved, rollback_to="" if state.rollback_to == name else state.rollback_to)


def _require_candidate(state: PackState, version: Version) -> None:
    if not state.candidate or version.name != state.candidate:
        raise _not_allowed(
            state, f"{version.name} is not in rollout ({f'{state.candidate} is' if state.candidate else 'none is'})"
        )


def _not_allowed(state: PackState, words: str, *, reason: str = "DECISION_NOT_ALLOWED") -> FailedPrecondition:
    return FailedPrecondition(f"Pack {state.pack}: {words}", reason=reason, pack=state.pack)
