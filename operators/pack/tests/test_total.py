"""`reconcile` answers whatever it sees: odd figures, missing peers, states that should not be."""

from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from packline_operator.domain import Condition, Observed, Status
from packline_operator.facts import (
    Decision,
    DecisionKind,
    Figures,
    Gate,
    GateOutcome,
    Latency,
    Monitored,
    Peer,
    Phase,
    Pool,
    Registry,
    Replica,
    Run,
    RunKind,
    RunState,
    Serving,
    Slot,
    SlotState,
    Version,
    VersionState,
)
from packline_operator.reasons import Reason
from packline_operator.reconcile import reconcile
from packline_operator.status_json import status_from_json, status_to_json

from .world import manifest

WORDS = st.sampled_from(["", "v1", "v2", "x", "Ünïcode\n"])
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
NUMBERS = st.integers(0, 2**63)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)
GATES = st.none() | st.builds(Gate, st.sampled_from(GateOutcome), WORDS)
VERSIONS = st.builds(
    Version,
    name=st.integers(1, 4).map("v{}".format),
    digest=st.sampled_from(["sha256:a", "sha256:b", ""]),
    state=st.sampled_from(VersionState),
    uri=WORDS,
    created_at=TIMES,
    gate=GATES,
)
RUNS = st.builds(
    Run,
    WORDS,
    st.sampled_from(RunKind),
    st.sampled_from(RunState),
    WORDS,
    TIMES,
    WORDS,
    WORDS,
    ended_at=st.none() | TIMES,
)
DECISIONS = st.builds(
    Decision, WORDS, st.sampled_from(DecisionKind), WORDS, st.sampled_from(["Held", "no such"]), WORDS, TIMES, NUMBERS
)
FIGURES = st.builds(
    Figures,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.none() | st.builds(Latency, FLOATS, FLOATS, FLOATS),
    FLOATS,
    NUMBERS,
)
SLOTS = st.builds(Slot, st.sampled_from(SlotState), WORDS, st.sampled_from(["sha256:a", "sha256:b", ""]), WORDS, WORDS)
REGISTRIES = st.builds(
    Registry,
    spec=st.dictionaries(WORDS, WORDS, max_size=1),
    revision=NUMBERS,
    active=VERSIONS,
    phase=st.sampled_from(Phase),
    since=TIMES,
    previous=st.none() | VERSIONS,
    candidate=st.none() | VERSIONS,
    step=st.integers(0, 20),
    weight=st.integers(0, 100),
    approved_version=WORDS,
    rollback_to=WORDS,
    last_training_at=st.none() | TIMES,
    trained_corrections=NUMBERS,
    versions=st.lists(VERSIONS, max_size=4).map(tuple),
    runs=st.lists(RUNS, max_size=4).map(tuple),
    decisions=st.lists(DECISIONS, max_size=4).map(tuple),
)
MONITORED = st.builds(
    Monitored,
    NUMBERS,
    st.dictionaries(st.sampled_from(["v1", "v2"]), FIGURES),
    st.dictionaries(st.sampled_from(["v1", "v2"]), FIGURES),
    st.lists(st.builds(Replica, st.sampled_from(["r1", "r2"]), SLOTS, SLOTS), max_size=2).map(tuple),
    WORDS,
)
SERVING = st.builds(
    Serving,
    st.none() | st.dictionaries(WORDS, WORDS, max_size=1),
    st.sampled_from(["", "RUNNING", "DEPLOYING", "DEPLOY_FAILED", "UNHEALTHY", "DELETING", "SOMETHING_NEW"]),
    WORDS,
    st.frozensets(st.sampled_from(["r1", "r2"])),
)
CONDITIONS = st.builds(Condition, WORDS, WORDS, WORDS, WORDS, TIMES, NUMBERS)
STATUSES = st.builds(
    Status,
    phase=WORDS,
    observed_generation=NUMBERS,
    conditions=st.lists(CONDITIONS, max_size=3).map(tuple),
    history=st.lists(DECISIONS, max_size=2).map(tuple),
    revision=NUMBERS,
    runs=st.lists(WORDS, max_size=2).map(tuple),
    applied=WORDS,
    schedule=st.sampled_from(["", "0 3 * * *", "0 0 29 2 *"]),
    schedule_since=st.none() | TIMES,
)
PERCENTS = st.sampled_from(["0%", "1%", "100%"])
DURATIONS = st.sampled_from(["0s", "1m", "99999999d"])
ROLLOUTS = st.fixed_dictionaries(
    {
        "shadow": DURATIONS,
        "steps": st.sampled_from([[], [{"weight": 10, "hold": "99999999d"}], [{"weight": 1}, {"weight": 99}]]),
        "minRequests": st.sampled_from([0, 1, 200]),
        "maxHold": DURATIONS,
        "watch": DURATIONS,
        "maxErrorRate": PERCENTS,
        "maxLatencyIncrease": PERCENTS,
        "minAgreement": PERCENTS,
        "maxCorrectionIncrease": PERCENTS,
    }
)
SCHEDULES = st.sampled_from([None, "0 3 * * *", "0 0 29 2 *"])
MANIFESTS = st.none() | st.builds(
    lambda rollout, pin, paused, small, schedule, cooldown: manifest(
        rollout=rollout,
        model={"pin": pin} if pin else {},
        paused=paused,
        gate={"onSmallGolden": small},
        training={
            "triggers": {"schedule": schedule, "corrections": 1, "drift": True, "newBase": True},
            "cooldown": cooldown,
        },
    ),
    ROLLOUTS,
    st.sampled_from([None, "v1", "v3"]),
    st.booleans(),
    st.sampled_from(["shadow", "reject", "pass"]),
    SCHEDULES,
    DURATIONS,
)
OBSERVED = st.builds(
    Observed,
    name=st.just("p"),
    generation=st.integers(0, 5),
    manifest=MANIFESTS,
    unreadable=WORDS,
    deleting=st.booleans(),
    status=st.none() | STATUSES,
    registry=st.none() | REGISTRIES,
    monitored=st.none() | MONITORED,
    serving=st.none() | SERVING,
    unreachable=st.dictionaries(st.sampled_from(Peer), WORDS),
    failures=st.dictionaries(WORDS, WORDS, max_size=1),
    new_base=WORDS,
    pools=st.none() | st.dictionaries(st.sampled_from(["default", "gpu"]), st.builds(Pool)),
    limit=st.sampled_from([0, 100]),
)


@given(OBSERVED, TIMES)
@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_observation_gets_one_answer(observed: Observed, now: datetime) -> None:
    outcome = reconcile(observed, now)
    assert reconcile(observed, now) == outcome
    assert {event.reason for event in outcome.events} <= set(Reason)
    assert outcome.status.conditions[0].type == "Ready"
    assert status_from_json(status_to_json(outcome.status)) == outcome.status
