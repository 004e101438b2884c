from dataclasses import replace
from datetime import timedelta

import pytest
from packline_operator.facts import RunKind, RunState
from packline_operator.training_rules import training_outlook

from .test_rollout import ready_world, settle
from .world import Quality, World, manifest


def trainings(world: World) -> list[str]:
    return [run.run_id for run in world.runs.values() if run.kind is RunKind.TRAIN]


def test_enough_corrections_start_one_run() -> None:
    world = ready_world()
    world.corrections = 9
    settle(world)
    assert trainings(world) == []
    world.corrections = 12
    settle(world)
    world.corrections = 30
    settle(world)
    assert trainings(world) == ["p-c12"]
    assert world.runs["p-c12"].reason == "12 new corrections"
    assert world.status.condition("Trained").status == "Unknown"


def test_corrections_that_were_trained_on_do_not_count_again_and_the_cooldown_is_kept() -> None:
    world = ready_world()
    world.corrections = 12
    settle(world)
    world.end_runs(Quality())
    settle(world)
    world.end_runs()
    world.corrections = 21
    world.now += timedelta(hours=2)
    settle(world)
    assert trainings(world) == ["p-c12"]
    world.corrections = 22
    settle(world)
    assert len(trainings(world)) == 2
    world.end_runs(Quality())
    settle(world)
    world.end_runs()
    world.corrections = 50
    world.now += timedelta(minutes=59)
    settle(world)
    assert len(trainings(world)) == 2
    assert "not before 2026-01-05 03:00:00 UTC" in training_outlook(world.observe(), world.now)
    world.now += timedelta(minutes=1)
    settle(world)
    assert len(trainings(world)) == 3


def test_a_failed_run_is_followed_by_another_with_the_same_corrections() -> None:
    world = ready_world()
    world.corrections = 12
    settle(world)
    world.end_runs(state=RunState.FAILED)
    settle(world)
    assert len(trainings(world)) == 1
    assert world.status.condition("Trained").reason == "TrainingFailed"
    world.now += timedelta(hours=1)
    settle(world)
    assert len(set(trainings(world))) == 2


def test_the_schedule_counts_from_when_it_was_set() -> None:
    world = ready_world()
    world.now += timedelta(days=30)
    world.pack = manifest(training={"triggers": {"schedule": "0 3 * * *"}})
    settle(world)
    assert trainings(world) == []
    assert "at 2026-02-04 03:00:00 UTC" in training_outlook(world.observe(), world.now)
    world.now += timedelta(hours=3)
    settle(world)
    assert trainings(world) == ["p-s20260204T0300"]


def test_times_that_a_sleeping_machine_missed_count_once() -> None:
    world = ready_world(training={"triggers": {"schedule": "0 3 * * *"}, "cooldown": "1h"})
    world.now += timedelta(days=9)
    settle(world)
    world.end_runs(Quality())
    settle(world)
    assert len(trainings(world)) == 1


def test_what_would_start_a_training_is_told() -> None:
    world = ready_world(training={"triggers": {"schedule": "0 0 29 2 *", "corrections": None}})
    assert world.status.next == "Trains at 2028-02-29 00:00:00 UTC."
    world.pack = manifest(training={"triggers": {"corrections": None}})
    settle(world)
    assert trainings(world) == []
    assert world.status.next == "Trains when asked to."


@pytest.mark.parametrize("spec", [{"paused": True}, {"model": {"pin": "v1"}}])
def test_paused_and_pinned_packs_do_not_train(spec: dict[str, object]) -> None:
    world = ready_world(**spec)
    world.corrections = 1000
    settle(world)
    assert trainings(world) == []


def test_a_run_of_a_user_is_not_joined_by_another() -> None:
    from packline_operator.domain import StartRun

    world = ready_world()
    world.execute(StartRun("mine", RunKind.TRAIN, "asked by a user"))
    world.corrections = 12
    settle(world)
    assert trainings(world) == ["mine"]
    assert "TrainingStarted" in world.told.values()


def test_drift_and_a_newer_base_start_runs_where_asked_for() -> None:
    world = ready_world(training={"triggers": {"corrections": None, "drift": True, "newBase": True}})
    from packline_operator.training_rules import training_to_start

    observed = world.observe()
    assert training_to_start(observed, world.now) is None
    drifted = replace(observed, monitored=replace(observed.monitored, drift="brightness fell"))
    assert training_to_start(drifted, world.now).reason == "brightness fell"
    assert training_to_start(replace(observed, new_base="small"), world.now).reason == "base small"
