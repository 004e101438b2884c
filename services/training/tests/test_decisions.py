"""No sequence of decisions leads to a state that must never be."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packline_core.errors import Conflict, FailedPrecondition, NotFound
from packline_training.decisions import accept, approve, ask_rollback, decide
from packline_training.domain import Decision, DecisionKind, PackState, Phase, Version, VersionState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = list(DecisionKind)


def version(number: int, state: VersionState = VersionState.PASSED, digest: str = "") -> Version:
    return Version(number, digest or f"sha256:{number}", state, "run", "flat", NOW, f"bundles/{number}")


def start(count: int = 4) -> PackState:
    states = [VersionState.ACTIVE] + [VersionState.PASSED] * (count - 1)
    versions = {f"v{n}": version(n, state) for n, state in enumerate(states, 1)}
    return PackState("line", "slope", 1, "v1", NOW, versions)


def make(state: PackState, kind: DecisionKind, name: str, **values: object) -> PackState:
    return decide(state, Decision("d", kind, name, state.revision, **values), NOW)  # type: ignore[arg-type]


def rejudge(state: PackState) -> PackState:
    """What the gate does to versions that wait."""
    waiting = {
        v.name: replace(v, state=VersionState.PASSED)
        for v in state.versions.values()
        if v.state is VersionState.REGISTERED
    }
    return replace(state, versions={**state.versions, **waiting})


def check(state: PackState) -> None:
    by_state: dict[VersionState, list[str]] = {}
    for v in state.versions.values():
        by_state.setdefault(v.state, []).append(v.name)
        assert (v.state is VersionState.REJECTED) == (v.digest in state.rejected)
    assert by_state.get(VersionState.ACTIVE) == [state.active]
    assert by_state.get(VersionState.CANDIDATE, []) == ([state.candidate] if state.candidate else [])
    assert (state.phase is Phase.IDLE) == (state.candidate == "")
    assert (state.weight > 0) == (state.phase is Phase.CANARY)
    if state.previous:
        assert state.version(state.previous).state is VersionState.RETIRED


decisions = st.lists(
    st.tuples(
        st.sampled_from(KINDS), st.integers(1, 5), st.integers(0, 3), st.integers(0, 101), st.booleans(), st.booleans()
    ),
    max_size=40,
)


@given(decisions)
def test_every_reachable_state_is_sound(sequence: list[tuple[DecisionKind, int, int, int, bool, bool]]) -> None:
    state = start()
    for kind, number, step, weight, reject_active, gate in sequence:
        before = state
        try:
            state = make(state, kind, f"v{number}", step=step, weight=weight, reject_active=reject_active)
        except (FailedPrecondition, NotFound):
            continue
        check(state)
        assert state.revision == before.revision + 1
        assert before.rejected <= state.rejected
        if state.active != before.active:
            assert kind in {DecisionKind.PROMOTE, DecisionKind.ROLL_BACK}
            assert state.version(state.active).digest not in before.rejected
        if kind is DecisionKind.PROMOTE:
            assert before.candidate == state.active
        if gate:
            state = rejudge(state)


@given(decisions)
def test_a_decision_is_never_made_twice(sequence: list[tuple[DecisionKind, int, int, int, bool, bool]]) -> None:
    state = start()
    for kind, number, step, weight, reject_active, _ in sequence:
        decision = Decision("d", kind, f"v{number}", state.revision, "", "", step, weight, reject_active)
        try:
            after = decide(state, decision, NOW)
        except (FailedPrecondition, NotFound):
            continue
        with pytest.raises(Conflict, match="revision"):
            decide(after, decision, NOW)
        state = after


def test_a_rollout_from_shadow_to_active() -> None:
    state = make(start(2), DecisionKind.BEGIN_ROLLOUT, "v2")
    assert (state.phase, state.candidate, state.weight) == (Phase.SHADOW, "v2", 0)
    state = make(state, DecisionKind.STEP, "v2", step=0, weight=10)
    state = make(state, DecisionKind.STEP, "v2", step=1, weight=50)
    with pytest.raises(FailedPrecondition, match="goes on from there"):
        make(state, DecisionKind.STEP, "v2", step=1, weight=50)
    state = make(state, DecisionKind.PROMOTE, "v2")
    assert (state.active, state.previous, state.candidate, state.phase) == ("v2", "v1", "", Phase.IDLE)
    state = make(state, DecisionKind.ROLL_BACK, "v1", reject_active=True, message="worse")
    assert (state.active, state.previous) == ("v1", "")
    assert state.version("v2").reason == "worse"
    with pytest.raises(FailedPrecondition, match="rejected before"):
        accept(state, version(3, digest="sha256:2"))
    for kind in (DecisionKind.BEGIN_ROLLOUT, DecisionKind.ROLL_BACK):
        with pytest.raises(FailedPrecondition):
            make(state, kind, "v2")


def test_versions_that_wait_are_judged_anew_after_active_changed() -> None:
    state = make(start(3), DecisionKind.BEGIN_ROLLOUT, "v2")
    state = make(state, DecisionKind.PROMOTE, "v2")
    assert state.version("v3").state is VersionState.REGISTERED
    state = make(rejudge(state), DecisionKind.BEGIN_ROLLOUT, "v3")
    state = make(state, DecisionKind.ROLL_BACK, "v1")
    assert state.version("v3").state is VersionState.REGISTERED and state.previous == "v2"


def test_wishes_are_kept_until_used() -> None:
    state = make(approve(start(3), ""), DecisionKind.BEGIN_ROLLOUT, "v3")
    assert state.approved == "v3"
    state = ask_rollback(state, "")
    assert state.rollback_to == "v1", "in the middle of a rollout, back means to active"
    state = make(state, DecisionKind.STEP, "v3", weight=10)
    assert state.approved == "" and state.rollback_to == "v1"
    state = make(state, DecisionKind.ROLL_BACK, "v1", message="called off")
    assert state.rollback_to == "" and state.version("v3").state is VersionState.REJECTED
    with pytest.raises(FailedPrecondition, match="no previous version"):
        ask_rollback(state, "")
    with pytest.raises(FailedPrecondition, match="waits for no approval"):
        approve(state, "v3")
    with pytest.raises(NotFound, match="has no version v9"):
        ask_rollback(state, "v9")
