"""The loop in its cluster role, under the chart's RBAC, with the real services of this repository over the bridge."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
import yaml
from packline.monitoring.v1 import monitoring_pb2 as monitoring
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline.training.v1 import training_pb2 as training
from packline_core.config import MONITORING_APPLICATION
from packline_core.rpc import open_channel
from packline_echo.bundles import write_bundle
from packline_operator.reasons import Reason

from operators.pack.tests.local.platform import QUICK
from tests.cluster.assets import Assets
from tests.cluster.bed import Bed
from tests.cluster.cluster_platform import OPERATOR, ClusterPlatform, cluster_platform
from tests.cluster.promises import check_promises
from tests.cluster.throttle import put_off

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
_BEGIN, _STEP, _PROMOTE = "DECISION_KIND_BEGIN_ROLLOUT", "DECISION_KIND_STEP", "DECISION_KIND_PROMOTE"


@pytest.fixture(scope="module")
def platform(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterPlatform]:
    """A control plane of its own: it is restarted here, and its CRD knows the test's task."""
    with Bed(tmp_path_factory.mktemp("bed")) as bed:
        bed.start_api()
        with cluster_platform(bed, tmp_path_factory.mktemp("home")) as running:
            yield running


@pytest.fixture(autouse=True)
def promises(platform: ClusterPlatform) -> Iterator[None]:
    """After each test, of every Pack that there is by then: one that was rolled back lives through all other faults."""
    yield
    check_promises(platform)


def test_a_good_version_is_rolled_out_and_no_call_fails(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("good")
    platform.wait(lambda: platform.ready("good"), "good is ready")
    with platform.traffic("good") as calls:
        assert platform.publish("good", write_bundle(tmp_path / "v2", offset=1e-4)) == "v2"
        platform.wait(lambda: platform.state("good").active.version == "v2", "v2 is promoted")
        platform.wait(lambda: platform.status("good")["active"] == "v2", "the status says so")
        before = calls.answered.get("v2", 0)
        platform.wait(lambda: calls.answered.get("v2", 0) > before + 100, "v2 answers")
    assert calls.failed == []
    assert _kinds(platform, "good") == [(_BEGIN, 0), (_STEP, 30), (_STEP, 60), (_PROMOTE, 0)]
    assert set(platform.reasons("good")) <= set(map(str, Reason))
    row = platform.bed.kubectl("get", "pack", "good", "-n", platform.namespace, "--no-headers")
    assert re.match(r"good\s+echo\s+v2\s", row), row
    # The bridge may miss one that did not last.
    assert _weights(platform, "good") in ([0, 30, 60], [0, 30], [0, 60])


def test_a_version_that_users_correct_is_rolled_back(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("watched", rollout={**QUICK, "minAgreement": "0%", "watch": "10m"})
    platform.wait(lambda: platform.ready("watched"), "watched is ready")
    with platform.traffic("watched") as calls:
        platform.publish("watched", write_bundle(tmp_path / "v2", offset=3))
        platform.wait(lambda: platform.state("watched").active.version == "v2", "v2 is promoted")
        platform.wait(lambda: _correct(platform, "watched"), "the corrections are taken in")
        platform.wait(lambda: platform.state("watched").active.version == "v1", "v1 is back")
        platform.wait(lambda: platform.status("watched")["active"] == "v1", "the status says so")
    assert calls.failed == []
    last = platform.decisions("watched")[-1]
    assert (last.kind, last.version, last.reason) == (training.DECISION_KIND_ROLL_BACK, "v1", "MoreCorrections")
    with pytest.raises(grpc.RpcError, match="rejected before"):
        platform.publish("watched", write_bundle(tmp_path / "again", offset=3))


@pytest.mark.slow
def test_weight_moves_only_once_every_replica_holds_the_digest(platform: ClusterPlatform, tmp_path: Path) -> None:
    rollout = {**QUICK, "shadow": "0s", "minRequests": 1, "steps": [{"weight": 30, "hold": "5h"}]}
    platform.apply("two", serving={"replicas": {"min": 2, "max": 2}}, rollout=rollout)
    platform.wait(lambda: platform.ready("two"), "two is ready")
    platform.wait(lambda: len(platform.api.applications()["two"].running) == 2, "both replicas run")
    bundle = write_bundle(tmp_path / "v2", offset=1e-4)
    # Serve hands a configuration to one replica after the other, so a single one that hangs might be the last.
    hanging = [psutil.Process(replica.pid) for replica in platform.api.applications()["two"].running]
    for replica in hanging:
        replica.suspend()
    try:
        platform.publish("two", bundle)
        platform.wait(lambda: _rolled_out(platform, "two") == "WaitsForReplicas", "it waits for them")
        assert _kinds(platform, "two") == [(_BEGIN, 0)]
        platform.wait(lambda: _weights(platform, "two") == [0], "the fleet knows it, with no weight")
    finally:
        for replica in hanging:
            replica.resume()
    with platform.traffic("two"):
        platform.wait(lambda: platform.state("two").weight > 0, "weight moves")
        with open_channel(platform.ray.address, MONITORING_APPLICATION) as channel:
            request = monitoring.ListReplicasRequest(pack="two")
            replicas = MonitoringServiceStub(channel).ListReplicas(request, timeout=30).replicas
        assert {one.candidate.digest for one in replicas} == {bundle.digest}


@pytest.mark.slow
def test_an_operator_killed_after_each_of_its_actions_converges(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.kill_loop()
    deaths = 0

    def die_once() -> None:
        nonlocal deaths
        # One that lost its lease to a busy machine is started anew, as a Deployment would.
        while (code := platform.start(die_after=1).wait(timeout=300)) == 3:
            pass
        assert code == -signal.SIGKILL, platform.log[-3000:]
        deaths += 1

    platform.apply("killed")
    # Not until it runs: an operator that finds nothing left to do does not die.
    while "killed" not in _applications(platform.serve_config()):
        die_once()
    platform.wait(lambda: platform.api.applications()["killed"].status == "RUNNING", "killed runs")
    platform.publish("killed", write_bundle(tmp_path / "v2", offset=2e-4))
    with platform.traffic("killed") as calls:
        while platform.state("killed").active.version != "v2":
            die_once()
        platform.start()
        platform.wait(lambda: platform.ready("killed") and platform.status("killed")["active"] == "v2", "it is told")
    assert calls.failed == []
    assert deaths >= 9, "register, apply, gate, begin, apply, step, apply, step, apply, promote"
    assert _promoted(platform, "killed") == ["v2"]
    # Now one that answers otherwise: shadow finds it.
    platform.kill_loop()
    platform.publish("killed", write_bundle(tmp_path / "v3", offset=3))
    with platform.traffic("killed") as calls:
        while (training.DECISION_KIND_REJECT, "v3") not in _decided(platform, "killed"):
            die_once()
        platform.start()
        platform.wait(lambda: platform.ready("killed") and not platform.status("killed")["candidate"], "it is gone")
    assert calls.failed == [] and "v3" not in calls.answered
    with pytest.raises(grpc.RpcError, match="rejected before"):
        platform.publish("killed", write_bundle(tmp_path / "again", offset=3))
    # Their names are made of what they tell, so what is told again is the same Event.
    told = [(event["reason"], event["message"]) for event in platform.events("killed")]
    assert len(told) == len(set(told))


@pytest.mark.slow
def test_of_two_operators_one_acts_and_the_other_takes_over(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("shared", rollout={**QUICK, "steps": [{"weight": 30, "hold": "8s"}, {"weight": 60, "hold": "1s"}]})
    platform.wait(lambda: platform.ready("shared"), "shared is ready")
    second = platform.start_one("operator-1")
    try:
        platform.wait(lambda: platform.leader == "operator-0", "the first one acts")
        with platform.traffic("shared") as calls:
            platform.publish("shared", write_bundle(tmp_path / "v2", offset=3e-4))
            platform.wait(lambda: platform.state("shared").weight == 30, "v2 is in canary")
            platform.kill_loop()
            platform.wait(lambda: platform.leader == "operator-1", "the second one takes over")
            platform.start()
            platform.wait(lambda: platform.state("shared").active.version == "v2", "v2 is promoted")
            platform.wait(lambda: platform.status("shared")["active"] == "v2", "the status says so")
        assert second.poll() is None
        assert platform.leader == "operator-1"
        # One that goes in peace hands its lease over.
        second.terminate()
        assert second.wait(60) == 0
        platform.wait(lambda: platform.leader == "operator-0", "the first one acts again")
    finally:
        second.kill()
        second.wait()
    assert calls.failed == []
    assert _kinds(platform, "shared") == [(_BEGIN, 0), (_STEP, 30), (_STEP, 60), (_PROMOTE, 0)]


@pytest.mark.slow
def test_the_api_server_restarts_mid_rollout(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("restarted", rollout={**QUICK, "steps": [{"weight": 30, "hold": "5s"}]})
    platform.wait(lambda: platform.ready("restarted"), "restarted is ready")
    with platform.traffic("restarted") as calls:
        platform.publish("restarted", write_bundle(tmp_path / "v2", offset=4e-4))
        platform.wait(lambda: platform.state("restarted").weight == 30, "v2 is in canary")
        platform.bed.kill_api()
        try:
            answered = sum(calls.answered.values())
            platform.wait(lambda: sum(calls.answered.values()) > answered + 200, "callers are answered meanwhile")
        finally:
            platform.bed.restart_api()
        platform.wait(lambda: platform.state("restarted").active.version == "v2", "the rollout goes on")
        platform.wait(lambda: platform.status("restarted")["active"] == "v2", "the status says so")
    assert calls.failed == []
    assert _promoted(platform, "restarted") == ["v2"]


@pytest.mark.slow
def test_an_api_server_that_is_too_busy_is_waited_for(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("busy")
    platform.wait(lambda: platform.ready("busy"), "busy is ready")
    before = len(platform.log)
    with platform.traffic("busy") as calls:
        with put_off(platform.bed, OPERATOR, platform.namespace):
            platform.publish("busy", write_bundle(tmp_path / "v2", offset=7e-4))
            told = re.compile(r"PATCH \S+/rayservices/\S+ Too many requests.*tried again")
            platform.wait(lambda: len(told.findall(platform.log[before:])) >= 3, "it is put off, and tries again")
            # The registry is asked first: the rollout has begun, and no replica was told of it.
            assert _kinds(platform, "busy") == [(_BEGIN, 0)]
            assert _weights(platform, "busy") == []
        platform.wait(lambda: platform.state("busy").active.version == "v2", "the rollout goes on")
        platform.wait(lambda: platform.status("busy")["active"] == "v2", "the status says so")
    assert calls.failed == []
    assert _kinds(platform, "busy") == [(_BEGIN, 0), (_STEP, 30), (_STEP, 60), (_PROMOTE, 0)]


@pytest.mark.slow
def test_a_clock_that_jumps_promotes_nothing_that_was_not_seen(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("jumped", rollout={**QUICK, "shadow": "5h", "steps": []})
    platform.wait(lambda: platform.ready("jumped"), "jumped is ready")
    platform.publish("jumped", write_bundle(tmp_path / "v2", offset=5e-4))
    platform.wait(lambda: _rolled_out(platform, "jumped") == "Holding", "it holds")
    try:
        for hours, reason in ((6, "WaitsForRequests"), (-48, "Holding"), (30, "TooLittleTraffic")):
            (platform.home / "offset").write_text(str(hours * 3600))
            platform.wait(lambda reason=reason: _rolled_out(platform, "jumped") == reason, reason)
    finally:
        (platform.home / "offset").write_text("0")
    assert platform.state("jumped").active.version == "v1"


@pytest.mark.slow
def test_a_ray_service_deleted_by_hand_comes_back_with_all_packs(platform: ClusterPlatform) -> None:
    platform.apply("lost")
    platform.wait(lambda: platform.ready("lost"), "lost is ready")
    names = [one["metadata"]["name"] for one in platform.bed.get("packs", "-n", platform.namespace)["items"]]
    active = {name: platform.state(name).active.version for name in names}
    platform.bed.kubectl("delete", "rayservice", "packline", "-n", platform.namespace)
    platform.wait(lambda: not platform.api.applications(), "nothing is served")
    platform.wait(lambda: not any(platform.ready(name) for name in names), "no Pack says that it is ready")
    said = platform.condition(names[0], "Ready")["message"]
    assert f"there is no RayService in namespace {platform.namespace}" in said
    platform.upgrade()
    for name in names:
        platform.wait(lambda name=name: platform.ready(name), f"{name} is ready again")
    assert {name: platform.state(name).active.version for name in names} == active


@pytest.mark.slow
def test_deleting_and_applying_again(platform: ClusterPlatform, tmp_path: Path) -> None:
    platform.apply("again")
    platform.wait(lambda: platform.ready("again"), "again is ready")
    with platform.traffic("again"):
        platform.publish("again", write_bundle(tmp_path / "v2", offset=6e-4))
        platform.wait(lambda: platform.status("again")["active"] == "v2", "v2 is promoted")
    platform.delete("again")
    assert "again" not in _applications(platform.serve_config())
    platform.wait(lambda: "again" not in platform.api.applications(), "nobody serves it")
    with pytest.raises(grpc.RpcError) as caught:
        platform.state("again")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    platform.apply("again")
    platform.wait(lambda: platform.ready("again"), "it is ready again")
    assert platform.state("again").active.version == "v1"


def _kinds(platform: ClusterPlatform, name: str) -> list[tuple[str, int]]:
    return [(training.DecisionKind.Name(one.kind), one.weight) for one in platform.decisions(name)]


def _decided(platform: ClusterPlatform, name: str) -> list[tuple[training.DecisionKind, str]]:
    return [(one.kind, one.version) for one in platform.decisions(name)]


def _promoted(platform: ClusterPlatform, name: str) -> list[str]:
    return [one.version for one in platform.decisions(name) if one.kind == training.DECISION_KIND_PROMOTE]


def _rolled_out(platform: ClusterPlatform, name: str) -> str:
    return str(platform.condition(name, "RolledOut").get("reason"))


def _applications(config: str) -> dict[str, dict[str, object]]:
    return {one["name"]: one for one in yaml.safe_load(config)["applications"]}


def _weights(platform: ClusterPlatform, name: str) -> list[int]:
    """The candidate's, in the order in which the fleet was told of them."""
    found: list[int] = []
    for config in platform.bridge.configs:
        application = _applications(config).get(name)
        candidate = application["deployments"][0]["user_config"]["candidate"] if application else None  # type: ignore[index]
        if candidate and candidate["weight"] not in found[-1:]:
            found.append(candidate["weight"])
    return found


def _correct(platform: ClusterPlatform, name: str) -> bool:
    """Twenty answers of the active version, corrected."""
    from packline.echo.v1.echo_pb2 import EchoRequest
    from packline.echo.v1.echo_pb2_grpc import EchoServiceStub

    with (
        open_channel(platform.ray.address, name) as echo,
        open_channel(platform.ray.address, MONITORING_APPLICATION) as channel,
    ):
        for number in range(20):
            answer = EchoServiceStub(echo).Echo(EchoRequest(pack=name, values=[1.0, 2.0]), timeout=10)
            MonitoringServiceStub(channel).Correct(
                monitoring.CorrectRequest(
                    pack=name,
                    prediction_id=answer.prediction_id,
                    correction_id=f"c{number}",
                    truth_json=json.dumps([1.0, 2.0]),
                    payload=json.dumps([1.0, 2.0]).encode(),
                ),
                timeout=30,
            )
    return True
