"""What the operator does with Packs and a RayService on a real API server, with the real services as its peers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packline_operator.kubernetes.source import FINALIZER
from ray.serve.schema import ServeDeploySchema

from tests.cluster.bed import Bed
from tests.cluster.operators import RunningOperator, running_operator
from tests.cluster.packs import install_crd, manifest
from tests.cluster.peers import Peers, running_peers
from tests.cluster.waiting import wait
from tests.cluster.wire import wire

pytestmark = [pytest.mark.cluster]
LOOKS = "packline_operator_reconciled_packs_total"


@pytest.fixture(scope="module")
def peers(cluster: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    cluster.install_kuberay_crds()
    install_crd(cluster, "echo")
    with running_peers(tmp_path_factory.mktemp("peers"), cluster.admin) as running:
        yield running


@pytest.fixture
def operator(cluster: Bed, peers: Peers, namespace: str, tmp_path: Path) -> Iterator[RunningOperator]:
    with running_operator(cluster, peers, tmp_path / "operator.log", namespace, PACKLINE_MAX_PACKS="2") as running:
        yield running


def ray_service(namespace: str, *pools: str, gpus: int = 0, name: str = "fleet") -> dict[str, Any]:
    def group(pool: str) -> dict[str, Any]:
        limits = {"cpu": "1", **({"nvidia.com/gpu": gpus} if gpus else {})}
        params = {"resources": f'\'"{{\\"pool_{pool}\\": 1}}"\''}
        container = {"name": "ray", "image": "packline/serve", "resources": {"limits": limits}}
        return {"rayStartParams": params, "template": {"spec": {"containers": [container]}}}

    workers = [{"groupName": p, "replicas": 1, "minReplicas": 1, "maxReplicas": 1, **group(p)} for p in pools]
    cluster = {"rayVersion": "2.60.0", "headGroupSpec": group("default"), "workerGroupSpecs": workers}
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata,
        "spec": {"rayClusterConfig": cluster},
    }


def ready(bed: Bed, namespace: str, name: str, **wanted: str) -> dict[str, Any]:
    """The condition `Ready`, where it has these values."""
    conditions = bed.get("pack", name, "-n", namespace).get("status", {}).get("conditions", [])
    found = (one for one in conditions if one["type"] == "Ready" and wanted.items() <= one.items())
    return next(found, {})


def served(bed: Bed, namespace: str) -> list[str]:
    config = bed.get("rayservice", "fleet", "-n", namespace)["spec"].get("serveConfigV2")
    return [one["name"] for one in json.loads(config or '{"applications": []}')["applications"]]


def test_a_pack_lives_is_edited_dies_and_comes_again(cluster: Bed, operator: RunningOperator, namespace: str) -> None:
    where = ("-n", namespace)
    cluster.apply(ray_service(namespace), manifest("lives", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/lives", *where, "--timeout=90s")
    pack = cluster.get("pack", "lives", *where)
    assert pack["metadata"]["finalizers"] == [FINALIZER]
    assert (pack["status"]["active"], pack["status"]["traffic"], pack["status"]["phase"]) == ("v1", {"v1": 100}, "Idle")
    row = cluster.kubectl("get", "pk", "lives", *where, "--no-headers").split()
    assert row[:3] == ["lives", "echo", "v1"] and "True" in row
    told = [one["reason"] for one in cluster.get("events", *where)["items"] if one["involvedObject"]["name"] == "lives"]
    assert {"Registered", "Running"} <= set(told) and len(told) == len(set(told))
    assert "Registered" in cluster.kubectl("describe", "pack", "lives", *where)

    cluster.apply(manifest("lives", namespace, serving={"maxQueue": 7}))
    wait(lambda: _application(cluster, namespace, "lives")["user_config"]["limits"]["max_queue"] == 7, "it is applied")
    wait(lambda: cluster.get("pack", "lives", *where)["status"]["observedGeneration"] == 2, "it is told")

    cluster.kubectl("delete", "pack", "lives", *where, "--timeout=60s")
    assert served(cluster, namespace) == ["packline-monitoring", "packline-training"]
    cluster.apply(manifest("lives", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/lives", *where, "--timeout=60s")
    assert cluster.get("pack", "lives", *where)["status"]["history"] == [], "the first one was forgotten"


def test_only_the_configuration_is_the_operators(cluster: Bed, operator: RunningOperator, namespace: str) -> None:
    cluster.apply(ray_service(namespace), manifest("mine", namespace))
    wait(lambda: "mine" in served(cluster, namespace), "it is served")
    cluster.kubectl("annotate", "rayservice", "fleet", "-n", namespace, "somebody=else")
    delay = '{"spec":{"rayClusterDeletionDelaySeconds":7}}'
    cluster.kubectl("patch", "rayservice", "fleet", "-n", namespace, "--type=merge", "-p", delay)
    cluster.apply(manifest("mine", namespace, serving={"maxQueue": 9}))
    wait(lambda: _application(cluster, namespace, "mine")["user_config"]["limits"]["max_queue"] == 9, "it is applied")
    service = json.loads(
        cluster.kubectl("get", "rayservice", "fleet", "-n", namespace, "-o", "json", "--show-managed-fields")
    )
    assert service["metadata"]["annotations"]["somebody"] == "else"
    assert service["spec"]["rayClusterDeletionDelaySeconds"] == 7
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == "2.60.0"
    (fields,) = [
        one["fieldsV1"] for one in service["metadata"]["managedFields"] if one["manager"] == "packline-operator"
    ]
    assert fields == {"f:spec": {"f:serveConfigV2": {}}}
    read = ServeDeploySchema.model_validate(json.loads(service["spec"]["serveConfigV2"]))
    assert (read.http_options.host, read.proxy_location.value) == ("0.0.0.0", "EveryNode")


@pytest.mark.slow
def test_a_gpu_pool_takes_shares_of_a_gpu(cluster: Bed, operator: RunningOperator, namespace: str) -> None:
    cluster.apply(
        ray_service(namespace, "gpu", gpus=2), manifest("quick", namespace, serving={"pool": "gpu", "gpus": "0.25"})
    )
    wait(lambda: "quick" in served(cluster, namespace), "it is served")
    options = _application(cluster, namespace, "quick")["ray_actor_options"]
    assert (options["num_gpus"], options["resources"]) == (0.25, {"pool_gpu": 0.001})


@pytest.mark.parametrize(
    ("serving", "reason", "words"),
    [
        ({"pool": "gpu"}, "PoolMissing", "the fleet has no pool 'gpu' (its pools: default)"),
        ({"gpus": "0.5"}, "PoolTooSmall", "a node of pool 'default' has no GPU"),
    ],
)
def test_a_pool_that_cannot_be_is_said(
    cluster: Bed, operator: RunningOperator, namespace: str, serving: dict[str, str], reason: str, words: str
) -> None:
    cluster.apply(ray_service(namespace), manifest("lost", namespace, serving=serving))
    told = wait(lambda: ready(cluster, namespace, "lost", reason=reason), reason)
    assert told["status"] == "False" and words in told["message"]
    assert "lost" not in served(cluster, namespace)
    cluster.apply(manifest("lost", namespace, serving={"pool": "default", "gpus": "0"}))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/lost", "-n", namespace, "--timeout=60s")


@pytest.mark.slow
def test_a_full_fleet_says_so_and_takes_the_next_in_once_there_is_room(
    cluster: Bed, operator: RunningOperator, namespace: str
) -> None:
    cluster.apply(ray_service(namespace))
    for name in ("full-c", "full-b", "full-a"):
        cluster.apply(manifest(name, namespace))
        # Times of creation count whole seconds.
        time.sleep(1.1)
    wait(lambda: ready(cluster, namespace, "full-a", reason="FleetFull"), "the youngest has no place")
    wait(lambda: {"full-b", "full-c"} <= set(served(cluster, namespace)), "the oldest are served")
    assert "full-a" not in served(cluster, namespace)
    cluster.kubectl("delete", "pack", "full-c", "-n", namespace, "--timeout=60s")
    cluster.kubectl("wait", "--for=condition=Ready", "pack/full-a", "-n", namespace, "--timeout=60s")


def test_a_fleet_deleted_by_hand_is_missed_and_found_again(
    cluster: Bed, operator: RunningOperator, namespace: str
) -> None:
    where = ("-n", namespace)
    cluster.apply(ray_service(namespace), manifest("stays", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/stays", *where, "--timeout=90s")
    cluster.kubectl("delete", "rayservice", "fleet", *where)
    told = wait(lambda: ready(cluster, namespace, "stays", status="Unknown"), "it is missed")
    assert told["reason"] == "PeerUnreachable" and f"there is no RayService in namespace {namespace}" in told["message"]
    assert cluster.get("pack", "stays", *where)["status"]["active"] == "v1"
    time.sleep(1.5)
    assert cluster.get("rayservice", *where)["items"] == [], "it must not come back as a configuration alone"
    cluster.apply(ray_service(namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/stays", *where, "--timeout=60s")
    assert "stays" in served(cluster, namespace)


@pytest.mark.slow
def test_a_settled_pack_is_written_no_more(cluster: Bed, operator: RunningOperator, namespace: str) -> None:
    where = ("-n", namespace)
    cluster.apply(ray_service(namespace), manifest("rests", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/rests", *where, "--timeout=90s")

    def state() -> tuple[str, str]:
        pack, service = cluster.get("pack", "rests", *where), cluster.get("rayservice", "fleet", *where)
        return pack["metadata"]["resourceVersion"], service["metadata"]["resourceVersion"]

    def settled() -> bool:
        before, seen = state(), operator.metric(LOOKS)
        wait(lambda: operator.metric(LOOKS) >= seen + 2, "it is looked at twice more")
        return state() == before

    wait(settled, "it is looked at, and not written")
    assert operator.get("/healthz") == "ok\n"
    assert operator.metric("packline_operator_packs", namespace=namespace) == 1
    assert operator.metric("packline_operator_leading") == 1


@pytest.mark.slow
def test_the_api_servers_end_is_outlived(cluster: Bed, operator: RunningOperator, namespace: str) -> None:
    cluster.apply(ray_service(namespace), manifest("before", namespace))
    cluster.kubectl("wait", "--for=condition=Ready", "pack/before", "-n", namespace, "--timeout=90s")
    cluster.restart_api()
    cluster.apply(manifest("after", namespace))
    if operator.process.poll() is None:
        cluster.kubectl("wait", "--for=condition=Ready", "pack/after", "-n", namespace, "--timeout=90s")
    else:
        # It was away for longer than the lease: then the operator ends, and its Deployment starts it anew.
        assert operator.process.returncode == 3


@pytest.mark.slow
def test_a_watch_that_is_cut_is_opened_again(cluster: Bed, peers: Peers, namespace: str, tmp_path: Path) -> None:
    cluster.apply(ray_service(namespace), manifest("seen", namespace))
    more = {"PACKLINE_SETTLED_SECONDS": "3600", "PACKLINE_RESYNC_SECONDS": "3600", "PACKLINE_LEASE_SECONDS": "60"}
    with wire(cluster, tmp_path) as line:
        more["KUBECONFIG"] = str(line.kubeconfig)
        with running_operator(cluster, peers, tmp_path / "operator.log", namespace, **more) as operator:
            cluster.kubectl("wait", "--for=condition=Ready", "pack/seen", "-n", namespace, "--timeout=90s")
            for queue in (11, 12):
                wait(lambda: _rests(operator), "nothing is under way")
                assert line.cut() >= 2, "a watch of Packs, and one of fleets"
                # It looks and lists again in an hour: the watch alone can tell.
                cluster.apply(manifest("seen", namespace, serving={"maxQueue": queue}))

                def applied(queue: int = queue) -> bool:
                    limits = _application(cluster, namespace, "seen")["user_config"]["limits"]
                    return bool(limits["max_queue"] == queue)

                wait(applied, f"{queue} is applied", tell=operator.tail)
            assert operator.process.poll() is None


def test_packs_that_come_together_are_written_together(
    cluster: Bed, peers: Peers, namespace: str, tmp_path: Path
) -> None:
    names = [f"many-{number}" for number in range(6)]
    cluster.apply(ray_service(namespace), *(manifest(name, namespace) for name in names))
    with running_operator(cluster, peers, tmp_path / "operator.log", namespace):
        wait(lambda: set(names) <= set(served(cluster, namespace)), "all are served")
    written = cluster.get("rayservice", "fleet", "-n", namespace)["metadata"]["generation"] - 1
    assert written <= 3, "the services, and then the Packs"


@pytest.mark.slow
def test_a_namespace_ends_though_its_fleet_went_first(nodes: Bed, peers: Peers, tmp_path: Path) -> None:
    name = nodes.create_namespace("ending")
    with running_operator(nodes, peers, tmp_path / "operator.log", PACKLINE_RESYNC_SECONDS="5"):
        nodes.apply(ray_service(name), manifest("goes", name))
        nodes.kubectl("wait", "--for=condition=Ready", "pack/goes", "-n", name, "--timeout=90s")
        nodes.kubectl("delete", "rayservice", "fleet", "-n", name)
        nodes.kubectl("delete", "namespace", name, "--timeout=90s")


def _rests(operator: RunningOperator) -> bool:
    seen = operator.metric(LOOKS)
    time.sleep(3)
    return operator.metric(LOOKS) == seen


def _application(bed: Bed, namespace: str, name: str) -> dict[str, Any]:
    config = json.loads(bed.get("rayservice", "fleet", "-n", namespace)["spec"]["serveConfigV2"])
    deployment: dict[str, Any] = next(one for one in config["applications"] if one["name"] == name)["deployments"][0]
    return deployment
