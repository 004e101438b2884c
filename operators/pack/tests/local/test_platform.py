"""The loop on a real machine: real Ray Serve, training and monitoring, real kills. Task echo, whose models are tiny."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from packline.monitoring.v1 import monitoring_pb2 as monitoring
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline.training.v1 import training_pb2 as training
from packline_core.config import MONITORING_APPLICATION
from packline_core.fleet.local_ray import find_ray
from packline_core.rpc import open_channel
from packline_echo.bundles import write_bundle
from packline_operator.reasons import Reason

from .platform import QUICK, Platform, running_platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running_platform(tmp_path_factory.mktemp("home")) as running:
        running.wait(lambda: find_ray(running.home), "Ray")
        yield running


def test_a_good_version_takes_over_and_no_call_fails(platform: Platform, tmp_path: Path) -> None:
    platform.apply("good")
    platform.wait(lambda: platform.ready("good"), "good is ready")
    with platform.traffic("good") as calls:
        version = platform.publish("good", write_bundle(tmp_path / "v2", offset=1e-4))
        assert version == "v2"
        platform.wait(lambda: platform.state("good").active.version == "v2", "v2 is promoted")
        platform.wait(lambda: platform.status("good")["active"] == "v2", "the status says so")
        before = calls.answered.get("v2", 0)
        platform.wait(lambda: calls.answered.get("v2", 0) > before + 100, "v2 answers")
    assert calls.failed == []

    kinds = [(training.DecisionKind.Name(d.kind), d.weight) for d in platform.decisions("good")]
    assert kinds == [
        ("DECISION_KIND_BEGIN_ROLLOUT", 0),
        ("DECISION_KIND_STEP", 30),
        ("DECISION_KIND_STEP", 60),
        ("DECISION_KIND_PROMOTE", 0),
    ]
    platform.wait(lambda: "Held" in platform.reasons("good"), "the events tell it")
    assert set(platform.reasons("good")) <= set(map(str, Reason))
    told = platform.status("good")
    assert told["traffic"] == {"v2": 100}
    assert "answers all calls" in told["why"]
    assert [entry["decision"] for entry in told["history"]] == ["Promote", "Step", "Step", "BeginRollout"]


def test_failing_and_broken_versions_are_rejected_with_the_reason(platform: Platform, tmp_path: Path) -> None:
    platform.apply("bad")
    platform.wait(lambda: platform.ready("bad"), "bad is ready")
    with platform.traffic("bad") as calls:
        platform.publish("bad", write_bundle(tmp_path / "v2", fault="raise_at_call"))
        platform.wait(lambda: _rejected(platform, "bad", "v2"), "v2 is rejected")
        platform.publish("bad", write_bundle(tmp_path / "v3", offset=1, fault="kill_at_load"))
        platform.wait(lambda: _rejected(platform, "bad", "v3"), "v3 is rejected")
    assert calls.failed == []
    assert set(calls.answered) == {"v1"}
    reasons = {decision.version: decision.reason for decision in platform.decisions("bad")}
    assert reasons == {"v2": "MoreErrors", "v3": "BundleRefused"}
    platform.wait(lambda: platform.status("bad")["candidate"] == "", "the status says so")
    assert platform.state("bad").active.version == "v1"


def test_a_version_that_users_correct_is_rolled_back(platform: Platform, tmp_path: Path) -> None:
    platform.apply("watched", rollout={**QUICK, "minAgreement": "0%", "watch": "10m"})
    platform.wait(lambda: platform.ready("watched"), "watched is ready")
    with platform.traffic("watched"):
        platform.publish("watched", write_bundle(tmp_path / "v2", offset=3))
        platform.wait(lambda: platform.state("watched").active.version == "v2", "v2 is promoted")
        with open_channel(platform.ray.address, MONITORING_APPLICATION) as channel:
            stub = MonitoringServiceStub(channel)

            def correct() -> bool:
                for number in range(20):
                    stub.Correct(
                        monitoring.CorrectRequest(
                            pack="watched",
                            prediction_id=_call(platform, "watched"),
                            correction_id=f"c{number}",
                            truth_json=json.dumps([1.0, 2.0]),
                            payload=json.dumps([1.0, 2.0]).encode(),
                        ),
                        timeout=30,
                    )
                return True

            platform.wait(correct, "the corrections are taken in")
        with platform.traffic("watched", per_second=20):
            platform.wait(lambda: platform.state("watched").active.version == "v1", "v1 is back")
    last = platform.decisions("watched")[-1]
    assert (last.kind, last.version, last.reason) == (training.DECISION_KIND_ROLL_BACK, "v1", "MoreCorrections")
    assert _rejected(platform, "watched", "v2")
    with pytest.raises(grpc.RpcError, match="rejected before"):
        platform.publish("watched", write_bundle(tmp_path / "again", offset=3))


def test_a_loop_killed_after_each_of_its_actions_converges(platform: Platform, tmp_path: Path) -> None:
    platform.kill_loop()
    platform.apply("killed")
    deaths = 0

    def die_once() -> None:
        nonlocal deaths
        code = platform.start(die_after=1).wait(timeout=300)
        assert code == -signal.SIGKILL, platform.log[-3000:]
        deaths += 1

    while not _registered(platform, "killed"):
        die_once()
    while "killed" not in platform.api.applications():
        die_once()
    platform.wait(lambda: platform.api.applications()["killed"].status == "RUNNING", "killed runs")
    platform.publish("killed", write_bundle(tmp_path / "v2", offset=2e-4))
    with platform.traffic("killed") as calls:
        while platform.state("killed").active.version != "v2":
            die_once()
        # The promotion itself is still to be applied and told.
        die_once()
        platform.start()
        platform.wait(lambda: platform.ready("killed") and platform.status("killed")["active"] == "v2", "it is told")
    assert calls.failed == []
    assert deaths >= 9, "register, apply, gate, begin, apply, step, apply, step, apply, promote, apply"
    promotions = [d for d in platform.decisions("killed") if d.kind == training.DECISION_KIND_PROMOTE]
    assert [promotion.version for promotion in promotions] == ["v2"]
    events = platform.files.read_events("killed")
    decided = [event["key"] for event in events if event["key"].startswith("killed-")]
    assert len(decided) == len(set(decided))
    assert {d.decision_id for d in platform.decisions("killed")} <= set(decided)


def test_a_configuration_changed_by_hand_is_put_right_and_told(platform: Platform) -> None:
    config = platform.api.applications()["good"].config
    assert config is not None
    found = json.loads(json.dumps(config))
    found["deployments"][0]["user_config"]["limits"]["max_queue"] = 7
    _put_instead(platform, "good", found)
    platform.wait(lambda: "ServingDiffered" in platform.reasons("good"), "it is told")
    event = next(e for e in platform.files.read_events("good") if e["reason"] == "ServingDiffered")
    assert "max_queue is 7 where 64 is wanted" in event["message"]
    platform.wait(lambda: platform.api.applications()["good"].config == config, "it is put right")
    platform.wait(lambda: platform.ready("good"), "good is ready again")


def test_a_second_loop_is_refused(platform: Platform) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "packline_operator.local"],
        env=platform.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 1
    assert f"runs already on {platform.home} (process {platform.loop.pid})" in second.stderr
    assert platform.loop.poll() is None


def test_paused_held_approved_and_called_off(platform: Platform, tmp_path: Path) -> None:
    slow = {**QUICK, "shadow": "5h", "steps": []}
    platform.apply("held", rollout=slow)
    platform.wait(lambda: platform.ready("held"), "held is ready")
    platform.publish("held", write_bundle(tmp_path / "v2", offset=1e-4))
    platform.wait(lambda: platform.condition("held", "RolledOut").get("reason") == "Holding", "it holds")
    (platform.home / "offset").write_text(str(6 * 3600))
    try:
        reason = "WaitsForRequests"
        platform.wait(lambda: platform.condition("held", "RolledOut").get("reason") == reason, "time has passed")
        (platform.home / "offset").write_text(str(30 * 3600))
        reason = "TooLittleTraffic"
        platform.wait(lambda: platform.condition("held", "RolledOut").get("reason") == reason, "too little traffic")
        assert "TooLittleTraffic" in platform.reasons("held")
    finally:
        (platform.home / "offset").write_text("0")
    with platform.registry() as stub:
        stub.Approve(training.ApproveRequest(pack="held"), timeout=30)
    platform.wait(lambda: platform.state("held").active.version == "v2", "the user's word lets it go on")
    assert platform.decisions("held")[-1].reason == "Approved"
    with platform.registry() as stub:
        stub.Rollback(training.RollbackRequest(pack="held"), timeout=30)
    platform.wait(lambda: platform.state("held").active.version == "v1", "the user's word brings v1 back")
    assert platform.decisions("held")[-1].reason == "UserRollback"


def test_deleting_and_applying_again(platform: Platform) -> None:
    platform.files.delete("held")
    platform.wait(lambda: not (platform.settings.packs / "held").exists(), "held is gone")
    assert "held" not in platform.api.applications()
    with pytest.raises(grpc.RpcError) as caught:
        platform.state("held")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    platform.apply("held")
    platform.wait(lambda: platform.ready("held"), "held is ready again")
    assert platform.state("held").active.version == "v1"
    assert not platform.state("held").HasField("previous")


def test_everything_killed_mid_rollout_comes_back_as_it_was(platform: Platform, tmp_path: Path) -> None:
    steps = [{"weight": 30, "hold": "5h"}]
    platform.apply("crashed", rollout={**QUICK, "steps": steps})
    platform.wait(lambda: platform.ready("crashed"), "crashed is ready")
    with platform.traffic("crashed"):
        platform.publish("crashed", write_bundle(tmp_path / "v2", offset=1e-4))
        platform.wait(lambda: platform.state("crashed").weight == 30, "v2 is in canary")
    names = [stored.pack.name for stored in platform.files.list()]
    active = {name: platform.state(name).active.version for name in names}
    platform.kill_everything()
    assert find_ray(platform.home) is None

    platform.start()
    platform.wait(lambda: find_ray(platform.home), "Ray is back")
    platform.wait(lambda: all(_call(platform, name) for name in names), "all Packs answer")
    state = platform.state("crashed")
    assert (state.active.version, state.candidate.version, state.weight) == ("v1", "v2", 30)
    assert {name: platform.state(name).active.version for name in names} == active
    with platform.traffic("crashed") as calls:
        platform.wait(lambda: calls.answered.get("v1", 0) and calls.answered.get("v2", 0), "both answer")
    platform.apply("crashed", rollout={**QUICK, "steps": [{"weight": 30, "hold": "1s"}]})
    with platform.traffic("crashed"):
        platform.wait(lambda: platform.state("crashed").active.version == "v2", "the rollout went on")
    assert len([d for d in platform.decisions("crashed") if d.kind == training.DECISION_KIND_PROMOTE]) == 1


def test_sigterm_ends_everything(platform: Platform) -> None:
    folder = platform.ray.folder
    platform.loop.send_signal(signal.SIGTERM)
    assert platform.loop.wait(timeout=90) == 0, platform.log[-3000:]
    left = [p for p in psutil.process_iter() if any(str(folder) in part for part in _cmdline(p))]
    assert left == []
    assert find_ray(platform.home) is None
    shutil.rmtree(folder, ignore_errors=True)


def _rejected(platform: Platform, pack: str, name: str) -> bool:
    with platform.registry() as stub:
        versions = stub.ListVersions(training.ListVersionsRequest(pack=pack, limit=100), timeout=30).versions
    return any(v.version == name and v.state == training.VERSION_STATE_REJECTED for v in versions)


def _registered(platform: Platform, name: str) -> bool:
    try:
        return platform.state(name).active.version == "v1"
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return False
        raise


def _call(platform: Platform, name: str) -> str:
    from packline.echo.v1.echo_pb2 import EchoRequest
    from packline.echo.v1.echo_pb2_grpc import EchoServiceStub

    with open_channel(platform.ray.address, name) as channel:
        return EchoServiceStub(channel).Echo(EchoRequest(pack=name, values=[1.0, 2.0]), timeout=10).prediction_id


def _put_instead(platform: Platform, name: str, application: dict[str, object]) -> None:
    """What somebody's own script would do: the whole configuration, one application changed."""
    details = platform.api.details()
    applications = [
        application if other == name else raw["deployed_app_config"]
        for other, raw in details["applications"].items()
        if raw.get("deployed_app_config")
    ]
    platform.api.put(
        {
            "proxy_location": details["proxy_location"],
            "http_options": {key: details["http_options"][key] for key in ("host", "port")},
            "grpc_options": {
                key: details["grpc_options"][key] for key in ("port", "grpc_servicer_functions", "enable_reflection")
            },
            "applications": applications,
        }
    )


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return [] if process.pid == os.getpid() else process.cmdline()
    except psutil.Error:
        return []
