from dataclasses import replace
from datetime import timedelta

from packline_operator.facts import Peer, Serving, SlotState
from packline_operator.reconcile import reconcile
from packline_operator.status_json import status_from_json, status_to_json

from .test_rollout import in_shadow, ready_world, settle
from .world import World


def test_a_new_pack_says_what_it_waits_for() -> None:
    world = World()
    world.loop()
    ready = world.status.condition("Ready")
    assert (world.status.phase, ready.status, ready.reason) == ("Pending", "False", "NotRegistered")
    assert world.status.next == "The base model is registered as v1."
    world.loop()
    world.loop()
    assert world.status.condition("Ready").status == "False", "no replica has loaded v1 yet"
    world.load()
    world.loop()
    assert world.status.condition("Ready").status == "True"
    assert world.status.why == "v1 answers since 2026-01-05 00:00:00 UTC; nothing was decided yet."
    assert world.status.next == "Trains after 10 more corrections."
    assert list(world.told.values()) == ["Registered", "Running"]


def test_conditions_keep_their_time_until_they_change() -> None:
    world = ready_world()
    since = world.status.condition("Ready").last_transition
    world.now += timedelta(hours=1)
    world.loop()
    assert world.status.condition("Ready").last_transition == since
    world.config = None
    world.unreachable = {Peer.SERVE}
    world.loop()
    ready = world.status.condition("Ready")
    assert (ready.status, ready.reason, ready.last_transition) == ("Unknown", "PeerUnreachable", world.now)


def test_a_failed_deployment_is_told_in_serves_words() -> None:
    world = ready_world()
    observed = replace(world.observe(), serving=Serving(world.config, "DEPLOY_FAILED", "no such module"))
    outcome = reconcile(observed, world.now)
    assert outcome.status.condition("Ready").message == "no such module"
    assert [event.reason for event in outcome.events] == ["ServingFailed"]
    assert outcome.events[0].warning


def test_an_active_version_that_no_replica_can_open_is_not_ready() -> None:
    world = ready_world()
    report = world.replicas["r1"]
    slot = replace(report.active, state=SlotState.REFUSED, message="its bundle is truncated")
    world.replicas["r1"] = replace(report, active=slot)
    world.loop()
    assert world.status.condition("Ready").message == "No replica can open v1: its bundle is truncated"


def test_what_an_action_met_is_told() -> None:
    world = World()
    observed = replace(world.observe(), failures={"RegisterPack": "RegisterPack failed: the disk is full"})
    status = reconcile(observed, world.now).status
    assert status.condition("Ready").message == "RegisterPack failed: the disk is full"
    assert status.condition("Reconciled").reason == "ActionFailed"


def test_an_unreadable_manifest_is_told_and_changes_nothing() -> None:
    world = ready_world()
    observed = replace(world.observe(), manifest=None, unreadable="spec.nonsense: unknown field")
    outcome = reconcile(observed, world.now)
    assert outcome.actions == ()
    assert outcome.status.condition("Ready").message == "spec.nonsense: unknown field"
    assert outcome.status.active == "v1"


def test_somebody_elses_configuration_is_put_back_and_told_once() -> None:
    world = ready_world()
    world.config["deployments"][0]["num_replicas"] = 3
    puts = world.puts
    settle(world)
    assert world.puts == puts + 1
    assert world.config["deployments"][0]["num_replicas"] == 1
    assert list(world.told.values()).count("ServingDiffered") == 1


def test_the_loops_own_changes_are_not_told_as_somebody_elses() -> None:
    world = ready_world()
    in_shadow(world)
    settle(world)
    assert not {"ServingDiffered", "ServingLost"} & set(world.told.values())


def test_decisions_are_told_even_if_the_loop_died_before_it_could() -> None:
    world = ready_world()
    in_shadow(world)
    world.now += timedelta(hours=1)
    world.send(1000)
    world.loop(crash_after=1)
    assert world.state.phase == "canary"
    assert "Held" not in world.told.values()
    world.loop()
    assert "Held" in world.told.values()


def test_a_status_survives_json() -> None:
    world = ready_world()
    in_shadow(world)
    world.loop()
    assert status_from_json(status_to_json(world.status)) == world.status
    assert status_from_json(None) is None
    assert status_from_json({"phase": "Idle"}) is None
