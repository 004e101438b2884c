"""The rules of a rollout, one by one, in a world that obeys."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from packline_operator.facts import DecisionKind, GateOutcome, Peer, Replica, RunState
from packline_training import decisions as rules
from packline_training.domain import VersionState

from .world import EMPTY, Quality, World, manifest


@pytest.fixture
def world() -> World:
    return ready_world()


def ready_world(**spec: object) -> World:
    world = World(manifest(**spec))
    for _ in range(3):
        world.loop()
        world.load()
    assert world.status is not None
    assert world.status.condition("Ready").status == "True"
    return world


def settle(world: World) -> None:
    while world.loop():
        world.load()


def rolled_out(world: World) -> str:
    assert world.status is not None
    return world.status.condition("RolledOut").reason


def kinds(world: World) -> list[str]:
    return [f"{d.kind} {d.version} {d.weight or ''}".strip() for d in world.decided]


def in_shadow(world: World) -> None:
    world.register(Quality())
    settle(world)
    world.end_runs()
    settle(world)
    world.load()
    assert world.state.phase == "shadow"


def test_a_good_version_goes_step_by_step(world: World) -> None:
    world.register(Quality())
    for _ in range(6):
        world.live(minutes=11)
    assert kinds(world) == ["BeginRollout v2", "Step v2 10", "Step v2 50", "Promote v2"]
    assert world.status.traffic == {"v2": 100}
    assert [d.reason for d in world.decided] == ["GatePassed", "Held", "Held", "Held"]
    assert world.state.version("v1").state is VersionState.RETIRED


def test_time_alone_does_not_promote(world: World) -> None:
    in_shadow(world)
    world.now += timedelta(hours=1)
    world.loop()
    assert rolled_out(world) == "WaitsForRequests"
    assert "0 of the 100 calls" in world.status.next
    world.now += timedelta(hours=24)
    world.loop()
    assert rolled_out(world) == "TooLittleTraffic"
    assert "TooLittleTraffic" in world.told.values()


def test_calls_alone_do_not_promote(world: World) -> None:
    in_shadow(world)
    world.send(10_000)
    world.loop()
    assert rolled_out(world) == "Holding"
    assert "v2 goes to 10 % of the calls at 2026-01-05 00:10:00 UTC" in world.status.next


def test_weight_waits_for_every_replica(world: World) -> None:
    in_shadow(world)
    world.replicas["r2"] = Replica("r2", EMPTY, EMPTY)
    world.now += timedelta(hours=1)
    world.send(1000)
    world.loop()
    assert rolled_out(world) == "WaitsForReplicas"
    assert "1 of 2 replicas" in world.status.next
    world.load()
    assert world.loop()
    assert kinds(world)[-1] == "Step v2 10"


def test_another_digest_in_the_slot_is_not_ready(world: World) -> None:
    in_shadow(world)
    report = world.replicas["r1"]
    world.replicas["r1"] = replace(report, candidate=replace(report.candidate, digest="sha256:other"))
    world.now += timedelta(hours=1)
    world.send(1000)
    world.loop()
    assert rolled_out(world) == "WaitsForReplicas"


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (Quality(errors=0.3), "MoreErrors"),
        (Quality(agreement=0.1), "LessAgreement"),
        (Quality(slow=4), "Slower"),
        (Quality(corrected=0.6), "MoreCorrections"),
        (Quality(gate=GateOutcome.FAILED), "GateFailed"),
        (Quality(refused="DIGEST_MISMATCH"), "BundleRefused"),
        (Quality(refused="QUARANTINED"), "BundleQuarantined"),
    ],
)
def test_a_bad_version_is_rejected_with_the_reason(world: World, quality: Quality, reason: str) -> None:
    world.register(quality)
    for _ in range(6):
        world.live(minutes=11, calls=2000)
    assert world.decided[-1].kind is DecisionKind.REJECT
    assert world.decided[-1].reason == reason
    assert world.state.active == "v1"
    assert world.status.traffic == {"v1": 100}
    assert reason in world.told.values()


def test_a_promoted_version_that_turns_out_worse_is_rolled_back(world: World) -> None:
    world.register(Quality())
    while world.state.active == "v1":
        world.live(minutes=11)
    world.qualities["v2"] = Quality(errors=0.3)
    world.live(minutes=8)
    assert kinds(world)[-1] == "RollBack v1"
    assert world.decided[-1].reason == "MoreErrors"
    assert world.state.version("v2").state is VersionState.REJECTED


def test_after_the_watch_nothing_is_rolled_back(world: World) -> None:
    world.register(Quality())
    while world.state.active == "v1":
        world.live(minutes=11)
    world.now += timedelta(minutes=31)
    world.qualities["v2"] = Quality(errors=0.3)
    world.live(minutes=8)
    assert world.state.active == "v2"


def test_too_few_golden_examples_wait_in_shadow_for_a_user(world: World) -> None:
    world.register(Quality(gate=GateOutcome.TOO_FEW))
    for _ in range(6):
        world.live(minutes=11)
    assert (world.state.phase, rolled_out(world)) == ("shadow", "WaitsForApproval")
    assert "packline approve p" in world.status.next
    world.state = rules.approve(world.state, "")
    for _ in range(4):
        world.live(minutes=11)
    assert world.state.active == "v2"
    assert [d.reason for d in world.decided] == ["GateTooFew", "Approved", "Held", "Held"]


def test_too_few_golden_examples_are_rejected_where_the_manifest_says_so() -> None:
    world = ready_world(gate={"onSmallGolden": "reject"})
    world.register(Quality(gate=GateOutcome.TOO_FEW))
    world.live(minutes=11)
    assert kinds(world) == ["Reject v2"]


def test_a_newer_version_waits_and_older_ones_are_superseded(world: World) -> None:
    in_shadow(world)
    world.register(Quality())
    world.register(Quality())
    while world.state.active == "v1":
        world.live(minutes=11)
    assert {run.version for run in world.runs.values()} == {"v2"}, "no gate while a rollout is in progress"
    world.loop()
    assert "v4 waits for that" in world.status.next
    world.now += timedelta(minutes=31)
    for _ in range(6):
        world.live(minutes=11)
    assert world.state.active == "v4"
    assert world.state.version("v3").state is VersionState.REGISTERED
    assert "v3" not in {run.version for run in world.runs.values()}


def test_when_the_newest_is_rejected_the_next_has_its_turn(world: World) -> None:
    world.register(Quality())
    world.register(Quality(gate=GateOutcome.FAILED))
    for _ in range(8):
        world.live(minutes=11)
    assert world.state.version("v3").state is VersionState.REJECTED
    assert world.state.active == "v2"


def test_a_user_brings_the_previous_version_back(world: World) -> None:
    world.register(Quality())
    while world.state.active == "v1":
        world.live(minutes=11)
    world.state = rules.ask_rollback(world.state, "")
    settle(world)
    assert kinds(world)[-1] == "RollBack v1"
    assert world.state.version("v2").state is VersionState.RETIRED, "a user's rollback can be taken back"
    world.state = rules.ask_rollback(world.state, "v2")
    settle(world)
    assert world.state.active == "v2"


def test_a_user_calls_a_rollout_off(world: World) -> None:
    in_shadow(world)
    world.state = rules.ask_rollback(world.state, "")
    settle(world)
    assert (kinds(world)[-1], world.decided[-1].reason) == ("Reject v2", "UserRollback")
    assert world.state.rollback_to == ""


def test_pause_freezes_a_good_rollout_and_still_ends_a_bad_one(world: World) -> None:
    in_shadow(world)
    spec = world.pack.spec.model_copy(update={"paused": True})
    world.pack = world.pack.model_copy(update={"spec": spec})
    world.live(minutes=60)
    assert (world.state.phase, rolled_out(world)) == ("shadow", "Paused")
    world.qualities["v2"] = Quality(errors=0.5)
    world.live(minutes=10)
    assert kinds(world)[-1] == "Reject v2"


def test_a_pin_brings_its_version_back_and_holds_it(world: World) -> None:
    world.register(Quality())
    while world.state.active == "v1":
        world.live(minutes=11)
    world.register(Quality())
    world.pack = manifest(model={"pin": "v1"})
    for _ in range(6):
        world.live(minutes=60)
    assert (world.state.active, world.decided[-1].reason, rolled_out(world)) == ("v1", "Pinned", "Pinned")
    assert not world.state.candidate
    world.pack = manifest(model={"pin": "v9"})
    world.live(minutes=1)
    assert "There is no version v9" in world.status.next


def test_a_pin_during_a_canary_takes_all_calls_back(world: World) -> None:
    in_shadow(world)
    while world.state.weight != 50:
        world.live(minutes=11)
    world.pack = manifest(model={"pin": "v1"})
    world.live(minutes=1)
    assert world.status.traffic == {"v1": 100}
    assert world.config["deployments"][0]["user_config"]["candidate"] is None


def test_silent_peers_hold_and_never_move_weight(world: World) -> None:
    in_shadow(world)
    world.send(1000)
    world.now += timedelta(hours=1)
    for peer in (Peer.MONITORING, Peer.SERVE):
        world.unreachable = {peer}
        world.loop()
        assert rolled_out(world) == "PeerUnreachable"
    world.unreachable = {Peer.TRAINING}
    world.loop()
    assert (world.status.active, world.status.candidate) == ("v1", "v2"), "what was known is still told"
    assert world.status.condition("Reconciled").reason == "PeerUnreachable"
    assert len(world.decided) == 1


def test_a_gate_run_that_failed_is_tried_again_ever_more_rarely(world: World) -> None:
    world.register(Quality())
    settle(world)
    for _ in range(200):
        world.end_runs(state=RunState.FAILED)
        world.now += timedelta(minutes=1)
        settle(world)
    gates = sorted(run.created_at for run in world.runs.values())
    waits = [later - earlier for earlier, later in pairwise(gates)]
    assert waits[0] < waits[-1] <= timedelta(minutes=62)
    assert "GateRunFailed" in world.told.values()
    world.now += timedelta(hours=1)
    for _ in range(6):
        world.live(minutes=61)
    assert world.state.active == "v2"


def test_a_clock_set_back_holds_and_goes_on(world: World) -> None:
    in_shadow(world)
    world.send(1000)
    world.now -= timedelta(days=2)
    world.loop()
    assert rolled_out(world) == "Holding"
    world.now += timedelta(days=3)
    world.loop()
    assert world.state.phase == "canary"


def test_steps_that_changed_under_a_canary_strand_it_nowhere(world: World) -> None:
    in_shadow(world)
    while world.state.weight != 50:
        world.live(minutes=11)
    world.pack = manifest(rollout={"steps": [{"weight": 60, "hold": "1m"}], "minRequests": 10})
    for _ in range(3):
        world.live(minutes=11)
    assert kinds(world)[-2:] == ["Step v2 60", "Promote v2"]


def test_deleting_takes_the_application_out_first_then_forgets(world: World) -> None:
    world.deleting = True
    world.loop()
    assert (world.config, world.removed, world.state is None) == (None, False, False)
    assert world.status.phase == "Deleting"
    world.loop()
    assert (world.removed, world.state) == (True, None)
