"""Random histories of a Pack: whatever crashes, jumps or falls silent, the loop's promises hold."""

from collections import Counter
from datetime import timedelta

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from packline_core.errors import PacklineError
from packline_operator.facts import DecisionKind, GateOutcome, Peer, Replica, RunState
from packline_operator.reasons import Reason
from packline_training import decisions as rules
from packline_training.domain import VersionState

from .world import EMPTY, START, Quality, World, manifest

GOOD = st.just(Quality())
BAD = st.sampled_from(
    [
        Quality(errors=0.5),
        Quality(errors=1.0),
        Quality(corrected=0.6),
        Quality(agreement=0.1),
        Quality(slow=4),
        Quality(gate=GateOutcome.FAILED),
        Quality(refused="DIGEST_MISMATCH"),
        Quality(refused="QUARANTINED"),
    ]
)
MIXED = st.one_of(GOOD, BAD, st.just(Quality(gate=GateOutcome.TOO_FEW)), st.just(Quality(gate=GateOutcome.SKIPPED)))


class Histories(RuleBasedStateMachine):
    @initialize(small=st.sampled_from(["shadow", "reject", "pass"]), schedule=st.sampled_from([None, "0 3 * * *"]))
    def begin(self, small: str, schedule: str | None) -> None:
        triggers = {"corrections": 10, "schedule": schedule}
        training = {"triggers": triggers, "cooldown": "1h"}
        self.world = World(manifest(gate={"onSmallGolden": small}, training=training))
        self.world.loop()
        self.world.loop()
        self.world.load()

    @rule(crash_after=st.one_of(st.none(), st.integers(0, 3)))
    def loop(self, crash_after: int | None) -> None:
        self.world.loop(crash_after)

    @rule(calls=st.integers(0, 2000))
    def calls(self, calls: int) -> None:
        self.world.send(calls)

    @rule(minutes=st.one_of(st.integers(0, 60), st.just(2000), st.integers(-60, 0), st.just(-100_000)))
    def clock(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)

    @rule(quality=MIXED)
    def publish(self, quality: Quality) -> None:
        if self.world.state:
            self.world.register(quality)

    @rule(quality=MIXED, state=st.sampled_from([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]))
    def end_runs(self, quality: Quality, state: RunState) -> None:
        self.world.end_runs(quality, state)

    @rule(count=st.integers(1, 30))
    def correct(self, count: int) -> None:
        self.world.corrections += count

    @rule()
    def load(self) -> None:
        self.world.load()

    @rule(names=st.sets(st.sampled_from(["r1", "r2", "r3"])))
    def replicas(self, names: set[str]) -> None:
        kept = self.world.replicas
        if self.world.config is not None:
            self.world.replicas = {name: kept.get(name, Replica(name, EMPTY, EMPTY)) for name in names}

    @rule(peers=st.sets(st.sampled_from(Peer), max_size=2))
    def silence(self, peers: set[Peer]) -> None:
        self.world.unreachable = peers

    @precondition(lambda self: self.world.state is not None)
    @rule(wish=st.sampled_from([rules.approve, rules.ask_rollback]))
    def user(self, wish) -> None:
        try:
            self.world.state = wish(self.world.state, "")
        except PacklineError:
            return

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        spec = self.world.pack.spec.model_copy(update={"paused": paused})
        self.world.pack = self.world.pack.model_copy(update={"spec": spec})

    @rule()
    def somebody_changes_serve(self) -> None:
        self.world.config = None
        self.world.replicas = {}

    @rule()
    def status_is_lost(self) -> None:
        self.world.status = None

    @invariant()
    def always_an_active_that_was_never_rejected(self) -> None:
        state = getattr(self, "world", World()).state
        if state is not None:
            assert state.version(state.active).state is VersionState.ACTIVE
            assert state.version(state.active).digest not in state.rejected
            assert sum(v.state is VersionState.ACTIVE for v in state.versions.values()) == 1

    @invariant()
    def no_version_is_promoted_twice(self) -> None:
        promoted = Counter(d.version for d in self.world.decided if d.kind is DecisionKind.PROMOTE)
        assert all(count == 1 for count in promoted.values())

    @invariant()
    def reasons_are_of_the_closed_set(self) -> None:
        assert all(decision.reason in set(map(str, Reason)) for decision in self.world.decided)
        assert set(self.world.told.values()) <= set(map(str, Reason))

    def teardown(self) -> None:
        """Liveness: once all is well again, good versions come through and bad ones go."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.unreachable, world.deleting = set(), False
        self.pause(False)
        world.now = max([world.now, START, *(d.at for d in world.decided)])
        world.now = max([world.now, *(r.ended_at or r.created_at for r in world.runs.values())])
        for _ in range(40 + 40 * len(world.runs)):
            world.live(minutes=61)
            state = world.state
            assert state is not None
            if (
                state.candidate
                and state.approved != state.candidate
                and state.version(state.candidate).gate.outcome.name == "TOO_FEW"
            ):
                world.state = rules.approve(state, "")
        assert world.state is not None
        waiting = [
            v
            for v in world.state.versions.values()
            if v.state in {VersionState.REGISTERED, VersionState.PASSED, VersionState.CANDIDATE}
            and v.number > world.state.version(world.state.active).number
        ]
        assert not waiting, f"{waiting[-1].name} neither came through nor went: {world.status}"
        active = world.state.active
        promoted = [d for d in world.decided if d.kind is DecisionKind.PROMOTE and d.version == active]
        quality = world.qualities.get(active, Quality())
        assert quality.good or (promoted and promoted[0].reason == Reason.APPROVED), f"{active} is bad: {quality}"
        assert world.status is not None
        assert world.status.active == active
        assert world.status.condition("Ready").status == "True"
        told = dict(world.told)
        assert not world.loop(), "nothing is left to do, and yet something is done at each pass"
        assert world.told == told, "nothing happened, and yet something is told"


Histories.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase
