"""The chart: linted, taken by a real API server object by object, installed, upgraded and uninstalled."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.bed import Bed, CommandFailed
from tests.cluster.chart import CHART, CRD, PROFILES, install_fleet_crd, pods, render
from tests.cluster.nodes import Node
from tests.cluster.parts import free_ports
from tests.cluster.waiting import wait
from tests.gotools import run_go

pytestmark = [pytest.mark.cluster]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
PACK = {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "spec": {"task": "ocr"}}
SERVE_CONFIG = "applications: []\n"
GATEWAY_API = "v1.4.1"
# Kubernetes' own, in every namespace.
BORN_WITH = {"configmaps/kube-root-ca.crt", "serviceaccounts/default"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def charted(cluster: Bed) -> Bed:
    """The control plane with the fleet's CRD."""
    install_fleet_crd(cluster)
    return cluster


@pytest.fixture
def restricted(charted: Bed) -> Iterator[str]:
    """A namespace that takes nothing but restricted pods."""
    name = charted.create_namespace(f"chart-{next(_numbers)}", **RESTRICTED)
    yield name
    charted.kubectl("delete", "namespace", name, "--wait=false")


def _slow_but(*quick: str) -> list[Any]:
    """All profiles, of which those that show nothing that the quick ones do not wait for make test-full."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in PROFILES]


def pack(name: str, namespace: str) -> dict[str, Any]:
    return {**PACK, "metadata": {"name": name, "namespace": namespace}}


@pytest.mark.parametrize("profile", PROFILES)
def test_lint(cluster: Bed, profile: str) -> None:
    cluster.helm("lint", "--strict", str(CHART), *PROFILES[profile])


@pytest.mark.parametrize("profile", _slow_but("default", "cpu", "everything"))
def test_the_api_server_takes_every_object(charted: Bed, restricted: str, profile: str) -> None:
    objects = render(charted, restricted, *PROFILES[profile])
    # These two have CRDs of their own; test_the_edge_is_what_the_gateway_api_takes has one's.
    foreign = ("gateway.networking.k8s.io", "monitoring.coreos.com")
    ours = [found for found in objects if not found["apiVersion"].startswith(foreign)]
    assert {"RayService", "Deployment"} <= {found["kind"] for found in ours}
    told = charted.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(ours))
    assert told.count("serverside-applied") == len(ours)


@pytest.mark.parametrize("profile", [one for one in _slow_but("default", "gpu") if "everything" not in one.values])
def test_restricted_pod_security_takes_every_pod(charted: Bed, restricted: str, profile: str) -> None:
    objects = render(charted, restricted, *PROFILES[profile])
    charted.apply(*(found for found in objects if found["kind"] == "ServiceAccount"))
    found = dict(pods(objects))
    assert len(found) >= 4
    for name, template in found.items():
        metadata = {"name": name, "namespace": restricted}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        charted.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        for container in template["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"], f"{name} can write into its image"


def test_kuberays_services_find_the_fleets_pods(cluster: Bed) -> None:
    """The RayService's head Service selects by labels that KubeRay gives each pod unless its template has others."""
    fleet = [template for _, template in pods(render(cluster, "default", *PROFILES["gpu"])) if _is_rays(template)]
    assert len(fleet) == 3
    for template in fleet:
        labels = template["metadata"]["labels"]
        assert not labels.keys() & {"app.kubernetes.io/name", "app.kubernetes.io/created-by"}
        assert not [label for label in labels if label.startswith("ray.io/")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("fleet.pools[0].name=Big", r"at '/fleet/pools/0/name': 'Big' does not match pattern"),
        ("fleet.hed=1", r"at '/fleet': additional properties 'hed' not allowed"),
        ("operator.replicas=3", r"at '/operator/replicas': maximum: got 3, want 2"),
        ("operator.namespaces={*,a}", r"at '/operator/namespaces': maxItems"),
        ("database.kind=url", r"at '/database/secret/name': minLength"),
        ("storage.kind=url", r"at '/storage/url'"),
        ("persistence.enabled=false", r"at '/persistence/enabled': value must be true"),
        ("edge.enabled=true", r"at '/edge/tlsSecret': minLength"),
        ("fleet.name=No_Name", r"at '/fleet/name'"),
        ("fleet.head.pools=null", r"fleet.head.pools and fleet.pools are both empty"),
        ("cache.kind=nfs", r"at '/cache/kind': value must be one of 'emptyDir', 'hostPath'"),
    ],
)
def test_bad_values_are_refused_by_name(cluster: Bed, values: str, words: str) -> None:
    with pytest.raises(CommandFailed, match=words):
        render(cluster, "default", "--set", values)


def test_one_node_alone_may_use_sqlite(cluster: Bed) -> None:
    gpu = yaml.safe_load((CHART / "values-gpu.yaml").read_text())
    del gpu["database"], gpu["storage"], gpu["persistence"]
    with pytest.raises(CommandFailed) as refused:
        cluster.helm("template", "packline", str(CHART), "-f", "-", stdin=yaml.safe_dump(gpu))
    for kind in ("database", "storage"):
        assert f"at '/{kind}/kind': value must be 'url'" in str(refused.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("fleet.pools[1].replicas.min=5", "gpu has replicas.min above replicas.max"),
        ("fleet.head.pools={gpu}", "gpu is the name of two pools"),
    ],
)
def test_pools_that_cannot_be_are_refused(cluster: Bed, values: str, words: str) -> None:
    with pytest.raises(CommandFailed, match=words):
        render(cluster, "default", *PROFILES["gpu"], "--set", values)


def test_values_are_documented() -> None:
    def leaves(values: Any, path: str = "") -> Iterator[str]:
        if not isinstance(values, dict) or not values:
            yield path
            return
        for name, value in values.items():
            yield from leaves(value, f"{path}.{name}".removeprefix("."))

    text = (CHART / "README.md").read_text().partition("## Values")[2].partition("A pool of")[0]
    table = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    wanted = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))
    covered = {leaf for leaf in wanted if any(leaf == row or leaf.startswith(f"{row}.") for row in table)}
    assert not wanted - covered
    assert not {row for row in table if not any(leaf == row or leaf.startswith(f"{row}.") for leaf in wanted)}


def test_the_fleet_is_of_the_ray_that_the_images_hold() -> None:
    lock = tomllib.loads((CHART.parents[1] / "uv.lock").read_text())
    (ray,) = [package["version"] for package in lock["package"] if package["name"] == "ray"]
    assert yaml.safe_load((CHART / "values.yaml").read_text())["fleet"]["rayVersion"] == ray


def test_installed_upgraded_and_uninstalled_with_nothing_left_over(
    charted: Bed, restricted: str, tmp_path: Path
) -> None:
    previous = _previous(tmp_path)
    charted.helm("install", "packline", str(previous), "-n", restricted)
    charted.apply(pack("invoices", restricted))
    before = charted.get("pack", "invoices", "-n", restricted)["metadata"]
    fleet = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "packline", "namespace": restricted}}
    operators = json.dumps({**fleet, "spec": {"serveConfigV2": SERVE_CONFIG}})
    charted.kubectl("apply", "--server-side", "--field-manager=packline-operator", "-f", "-", stdin=operators)
    token = charted.get("secret", "packline-ray-token", "-n", restricted)["data"]

    charted.helm("upgrade", "packline", str(CHART), "-n", restricted)
    after = charted.get("pack", "invoices", "-n", restricted)["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])
    upgraded = charted.get("rayservice", "packline", "-n", restricted)
    assert upgraded["spec"]["serveConfigV2"] == SERVE_CONFIG
    managers = {
        m["manager"]: "f:serveConfigV2" in m["fieldsV1"].get("f:spec", {}) for m in _managers(charted, restricted)
    }
    assert managers == {"helm": False, "packline-operator": True}
    assert upgraded["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"] != "old"
    assert charted.get("secret", "packline-ray-token", "-n", restricted)["data"] == token
    assert "configmaps/gone" not in _left(charted, restricted)

    charted.helm("uninstall", "packline", "-n", restricted)
    kept = {"packs.packline.dev/invoices", "persistentvolumeclaims/packline-home"}
    left = wait(lambda: (found := _left(charted, restricted)) == kept and found, "what Helm deletes is gone", 20)
    assert left == kept
    assert not charted.get("clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/name=packline")["items"]


def test_an_upgrade_waits_for_the_crd(charted: Bed, restricted: str) -> None:
    old = yaml.safe_load(CRD.read_text())
    old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "An older one."
    charted.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(old))
    try:
        charted.helm("install", "packline", str(CHART), "-n", restricted, "--skip-crds", *PROFILES["kind"])
        charted.apply(pack("invoices", restricted))
        with pytest.raises(CommandFailed, match=r"helm show crds CHART \| kubectl apply --server-side"):
            charted.helm("upgrade", "packline", str(CHART), "-n", restricted)
        crds = charted.helm("show", "crds", str(CHART))
        charted.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=crds)
    finally:
        charted.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    charted.helm("upgrade", "packline", str(CHART), "-n", restricted, *PROFILES["kind"])
    assert charted.get("pack", "invoices", "-n", restricted)["spec"]["task"] == "ocr"
    charted.helm("uninstall", "packline", "-n", restricted)


@pytest.mark.slow
def test_kuberay_makes_the_fleets_pods_on_their_pools_nodes(nodes: Bed, charted: Bed) -> None:
    """In a restricted namespace, with the containers that KubeRay adds; what a Service finds, it finds by its ports."""
    gpu = "nvidia.com/gpu"
    nodes.start_nodes(Node("chart-gpu", gpus=1, labels={f"{gpu}.present": "true"}, taints={gpu: "present"}))
    namespace = nodes.create_namespace("chart-pods", **RESTRICTED)
    names = {"packline-database": ("training", "monitoring", "mlflow"), "packline-storage": ("AWS_ACCESS_KEY_ID",)}
    for name, keys in names.items():
        literals = [f"--from-literal={key}=x" for key in keys]
        nodes.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)
    try:
        with nodes.kuberay(namespace):
            nodes.helm("install", "packline", str(CHART), "-n", namespace, *PROFILES["gpu"])
            found = wait(lambda: _scheduled(nodes, namespace, 3), "head and two workers", 120)
        assert found["gpu"] == "chart-gpu"
        assert {"headgroup", "default"} <= found.keys()
        assert "chart-gpu" not in {found["headgroup"], found["default"]}
    finally:
        nodes.helm("uninstall", "packline", "-n", namespace)
        nodes.kubectl("delete", "namespace", namespace, "--wait=false")
        nodes.kubectl("delete", "node", "chart-gpu")


@pytest.mark.slow
def test_the_edge_is_what_the_gateway_api_takes(charted: Bed, restricted: str) -> None:
    here = Path(__file__).parent
    told = run_go("mod", "download", "-json", f"sigs.k8s.io/gateway-api@{GATEWAY_API}", module=here)
    kinds = {"gateways": "Gateway", "grpcroutes": "GRPCRoute"}
    for kind in kinds:
        folder = Path(json.loads(told)["Dir"]) / "config" / "crd" / "standard"
        charted.kubectl("apply", "--server-side", "-f", str(folder / f"gateway.networking.k8s.io_{kind}.yaml"))
    wait(lambda: charted.kubectl("get", ",".join(kinds), "--all-namespaces") is not None, "both are served")
    objects = render(charted, restricted, *PROFILES["everything"])
    edge = [found for found in objects if found["kind"] in kinds.values()]
    charted.apply(*edge)
    route = charted.get("grpcroute", "packline", "-n", restricted)["spec"]
    assert route["hostnames"] == ["packs.example.org"]
    assert [(one["name"], one["port"]) for one in route["rules"][0]["backendRefs"]] == [("packline-serve-svc", 9000)]


@pytest.mark.slow
def test_mlflows_ui_answers_its_probes_and_its_service(cluster: Bed, tmp_path: Path) -> None:
    """As its Deployment starts it, and by the Host headers that it gets there: a pod's address, the Service's name."""
    (pod,) = (template for name, template in pods(render(cluster, "packs")) if name == "packline-mlflow")
    (container,) = pod["spec"]["containers"]
    (port,) = free_ports(1)
    told = [str(port) if word == "5000" else word for word in [*container["command"], *container["args"]]]
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    process = subprocess.Popen(
        [str(Path(sys.prefix) / "bin" / told[0]), *told[1:]],
        env={**os.environ, "HOME": str(tmp_path), "MLFLOW_BACKEND_STORE_URI": database, "DO_NOT_TRACK": "true"},
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        wait(lambda: _status(port, "/health", f"10.0.3.7:{port}") == 200, "MLflow's UI is ready", 240)
        assert _status(port, "/", "packline-mlflow:5000") == 200
        assert _status(port, "/ajax-api/2.0/mlflow/experiments/search?max_results=1", "evil.example.org") == 403
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_rays(template: dict[str, Any]) -> bool:
    return str(template["spec"]["containers"][0]["name"]).startswith("ray-")


def _status(port: int, path: str, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _previous(folder: Path) -> Path:
    """The chart as an older version may have been: another image, an object that is no more, a value that came."""
    chart = folder / "packline"
    shutil.copytree(CHART, chart)
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(re.sub(r"^version: .*$", "version: 0.0.9", text, flags=re.MULTILINE))
    values = yaml.safe_load((chart / "values.yaml").read_text())
    values["images"]["train"] = {"repository": "old", "tag": "", "pullPolicy": "Always"}
    values["fleet"]["head"]["resources"]["limits"]["memory"] = "7Gi"
    (chart / "values.yaml").write_text(yaml.safe_dump(values))
    gone = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone"}}
    (chart / "templates" / "gone.yaml").write_text(yaml.safe_dump(gone))
    return chart


def _left(bed: Bed, namespace: str) -> set[str]:
    """Whatever lies in a namespace, but for what every namespace has and what tells of the past."""
    kinds = bed.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = [kind for kind in kinds if not kind.startswith("events")]
    found = bed.kubectl("get", ",".join(kinds), "-n", namespace, "-o", "name", "--ignore-not-found").split()
    return {re.sub(r"^([a-z]+)(\.[^/]*)?/", _plural, name) for name in found} - BORN_WITH


def _plural(match: re.Match[str]) -> str:
    return f"{match[1]}s{match[2] or ''}/"


def _managers(bed: Bed, namespace: str) -> list[dict[str, Any]]:
    found = bed.get("rayservice", "packline", "-n", namespace, "--show-managed-fields")
    managers: list[dict[str, Any]] = found["metadata"]["managedFields"]
    return managers


def _scheduled(bed: Bed, namespace: str, count: int) -> dict[str, str]:
    """Group of Ray -> the node that its pod was put on, once there are so many."""
    found = bed.get("pods", "-n", namespace, "-l", "ray.io/group")["items"]
    placed = {pod["metadata"]["labels"]["ray.io/group"]: pod["spec"].get("nodeName", "") for pod in found}
    return placed if len(placed) == count and all(placed.values()) else {}
