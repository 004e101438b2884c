"""Runs on a real Ray: from examples to a judged version, and what a kill -9 of any process leaves."""

from collections.abc import Iterator

import pytest
from packline_core.bundle import verify
from packline_slope.world import World, gone, kill, running_world, until
from packline_training.domain import GateOutcome, RunKind, RunState, VersionState

from tests.backends.fixtures import BACKENDS, open_backend

# A busy machine takes minutes for three trials and a second driver.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=BACKENDS)
def whole_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("home")
    with (
        open_backend(request, request.param, home) as backend,
        running_world(home, backend.database, backend.store) as world,
    ):
        yield world


@pytest.fixture
def world(whole_world: World) -> World:
    whole_world.control()
    whole_world.start_service()
    return whole_world


def test_from_examples_to_a_judged_version(world: World) -> None:
    labels = world.home / "labels"
    labels.mkdir()
    (labels / "a.tsv").write_text("".join(f"{x / 10}\t{0.3 * x + 1}\n" for x in range(200)) + "nonsense\n")
    world.pack("whole", rows=0, data={"source": str(labels)})
    world.start("whole", "t1")
    run = world.ended("whole", "t1")
    assert (run.state, run.version, run.attempts, run.percent) == (RunState.SUCCEEDED, "v2", 1, 100)
    assert "v2 was registered: mae" in run.message and "learned a slope" in run.message
    assert f"{labels} gave 200 new and 0 changed examples. 1 of its rows were left out: a.tsv line 201" in run.message
    assert run.parameters == {"rate": 0.3, "momentum": 0.0}
    maes = [trial["metrics"]["mae"] for trial in run.trials]
    assert maes == sorted(maes) and run.trials[0]["parameters"] == run.parameters
    assert not any(trial["error"] for trial in run.trials)
    version = world.tables.registry.state("whole").version("v2")
    assert (version.origin, version.run_id, version.state) == ("t1", "t1", VersionState.REGISTERED)
    assert version.dataset_digest == run.dataset_digest
    world.tables.store.get_folder(version.object_name, world.home / "whole-v2")
    bundle = verify(world.home / "whole-v2", version.digest)
    assert bundle.manifest.provenance["run"] == "t1" and bundle.manifest.provenance["parameters"]["rate"] == 0.3
    assert bundle.manifest.signature["slope.onnx"]["inputs"] == [["x", "float32", ["n"]]]
    assert len(bundle.manifest.references) == 1 and bundle.manifest.dataset == run.dataset_digest
    assert not world.engine.settings.run_folder("whole", "t1").exists()

    world.start("whole", "g1", RunKind.GATE, "v2")
    assert world.ended("whole", "g1").state is RunState.SUCCEEDED
    judged = world.tables.registry.state("whole").version("v2")
    assert judged.state is VersionState.PASSED and judged.gate is not None
    assert judged.gate.outcome is GateOutcome.PASSED and judged.gate.active_version == "v1"


def test_a_run_that_cannot_lead_anywhere_says_why(world: World) -> None:
    world.pack("none", rows=0)
    world.pack("single", rows=1, data={"goldenShare": "0%"})
    world.pack("golden", rows=30, data={"goldenShare": "100%"})
    world.pack("nowhere", training={"pool": "moon"})
    world.pack("sourceless", rows=0, data={"source": str(world.home / "no-such-folder")})
    names = ("none", "single", "golden", "nowhere", "sourceless")
    for name in names:
        world.start(name, "t1")
    messages = {name: world.ended(name, "t1").message for name in names}
    assert "no labelled examples yet" in messages["none"]
    assert messages["single"].startswith("1 example to train on is too few")
    assert "(30 more are kept for judging)" in messages["golden"]
    assert "no node offers the pool 'moon'" in messages["nowhere"]
    assert messages["sourceless"].endswith("no-such-folder: it does not exist on the machine that trains")
    assert {world.run(name, "t1").state for name in messages} == {RunState.FAILED}
    assert all(list(world.tables.registry.state(name).versions) == ["v1"] for name in messages)


def test_corrections_are_learned_from(world: World) -> None:
    world.pack("corrected", rows=40)
    peer = world.peer
    for x in range(100, 130):
        peer.correct("corrected", b'{"x": %d}' % x, '{"y": 1.0}')
    peer.correct("corrected", b'{"x": 100}', '{"y": 2.0}')
    peer.correct("corrected", b'{"x": 777}', '{"y": 2.0}', kept=False)
    peer.correct("corrected", b'{"x": 5.5}', "nonsense")
    world.start("corrected", "t1")
    run = world.ended("corrected", "t1")
    assert run.state is RunState.SUCCEEDED
    assert "correction c1: contradicts correction c31" in run.message
    assert "correction c32: its payload is not kept" in run.message and "correction c33" in run.message
    newest, before = world.tables.datasets.versions("corrected", 10)
    assert (newest.origin, newest.corrections, before.origin) == ("corrections", 33, "import")
    assert newest.training_examples + newest.golden_examples == 70
    assert world.tables.registry.state("corrected").trained_corrections == 33
    world.start("corrected", "t2")
    assert world.ended("corrected", "t2").state is RunState.SUCCEEDED
    assert len(world.tables.datasets.versions("corrected", 10)) == 2, "none is taken in twice"


def test_a_killed_trial_is_started_again_and_resumes(world: World) -> None:
    world.pack("trial")
    world.control(step_seconds=0.2)
    world.start("trial", "t1")
    until(lambda: world.trial_step("trial", "t1") >= 5, "some steps")
    kill(world.trial_processes("trial", "t1")[0][0])
    processes = until(lambda: len(p := world.trial_processes("trial", "t1")) == 2 and p, "a second process")
    assert processes[1][1] >= 5
    world.control()
    run = world.ended("trial", "t1")
    assert (run.state, run.attempts, run.version) == (RunState.SUCCEEDED, 1, "v2")


def test_a_killed_driver_is_replaced_and_the_run_resumes(world: World) -> None:
    world.pack("driver")
    world.control(step_seconds=0.2)
    world.start("driver", "t1")
    until(lambda: world.trial_step("driver", "t1") >= 5, "some steps")
    kill(world.driver_pid("driver", "t1"))
    first = world.trial_processes("driver", "t1")[0][0]
    processes = until(lambda: len(p := world.trial_processes("driver", "t1")) == 2 and p, "a second process")
    assert gone(first), "the trial of the lost driver must not go on beside the new one"
    assert processes[1][1] >= 5
    world.control()
    run = world.ended("driver", "t1")
    assert (run.state, run.attempts, run.version) == (RunState.SUCCEEDED, 2, "v2")
    assert [v.run_id for v in world.tables.registry.state("driver").versions.values()] == ["", "t1"]


def test_a_killed_service_changes_nothing_for_a_run_and_what_waits_comes_next(world: World) -> None:
    world.pack("service")
    world.control(step_seconds=0.2)
    world.start("service", "t1")
    until(lambda: world.trial_step("service", "t1") >= 3, "some steps")
    world.kill_service()
    world.start("service", "t2")
    world.control()
    run = world.ended("service", "t1")
    assert (run.state, run.attempts) == (RunState.SUCCEEDED, 1)
    assert world.run("service", "t2").state is RunState.QUEUED
    world.control(step_seconds=0.2)
    world.start_service()
    until(lambda: world.trial_step("service", "t2") >= 3, "what was acknowledged is done")
    # Calling it off ends its processes.
    trial = world.trial_processes("service", "t2")[0][0]
    world.tables.runs.cancel("service", "t2")
    run = world.ended("service", "t2")
    assert (run.state, run.message) == (RunState.CANCELLED, "called off")
    until(lambda: gone(world.driver_pid("service", "t2")) and gone(trial), "the processes' end")
    assert list(world.tables.registry.state("service").versions) == ["v1", "v2"]


@pytest.mark.slow
def test_everything_killed_at_once(world: World) -> None:
    world.pack("all")
    world.control(step_seconds=0.2)
    world.start("all", "t1")
    until(lambda: world.trial_step("all", "t1") >= 3, "some steps")
    world.kill_service()
    kill(world.driver_pid("all", "t1"))
    kill(world.trial_processes("all", "t1")[0][0])
    world.control()
    world.start_service()
    run = world.ended("all", "t1")
    assert (run.state, run.attempts, run.version) == (RunState.SUCCEEDED, 2, "v2")


@pytest.mark.slow
def test_finished_trials_are_kept_when_a_driver_is_lost(world: World) -> None:
    world.pack("many", training={"budget": {"maxMinutes": 30, "maxTrials": 3}})
    world.start("many", "t1")
    folder = world.engine.settings.run_folder("many", "t1")
    until(lambda: len(list(folder.glob("trial-*/result.json"))) == 1, "a finished trial")
    world.control(step_seconds=0.2)
    until(lambda: len(list(folder.glob("trial-*/checkpoints/slope.json"))) == 2, "a second trial")
    kill(world.driver_pid("many", "t1"))
    until(lambda: world.run("many", "t1").attempts == 2, "a second attempt")
    assert len(world.trial_processes("many", "t1")) == 1
    world.control()
    run = world.ended("many", "t1")
    assert run.state is RunState.SUCCEEDED and "best of 3" in run.message


def test_a_task_that_refuses_and_one_that_breaks(world: World) -> None:
    world.pack("refuses")
    world.control(fail="the labels are all the same")
    world.start("refuses", "t1")
    run = world.ended("refuses", "t1")
    assert run.state is RunState.FAILED and run.message == "no trial came to an end: the labels are all the same"
