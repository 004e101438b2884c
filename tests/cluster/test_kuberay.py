"""KubeRay 1.6.1 and what the operator writes: it takes it, and its pods land on the nodes of their pools."""

from __future__ import annotations

import json
import re
from typing import Any

import kubernetes
import pytest
import yaml
from packline_core.fleet.api import FleetApi
from packline_core.fleet.schema import Network, PackApplication, pack_application
from packline_core.serving.config import ServingConfig, Version
from packline_operator.facts import Pool
from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.cache import SERVICES, Cache
from packline_operator.kubernetes.fleet import RayServiceFleet, services_path
from ray.serve.schema import ServeDeploySchema

from tests.cluster.bed import Bed
from tests.cluster.chart import CHART
from tests.cluster.dashboard import serve_dashboard
from tests.cluster.nodes import GPU
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster]
# The chart's GPU profile, on the nodes of this bed; its CRD is left to the tests that are about it.
_GPU_VALUES = (
    "--skip-crds",
    *("-f", str(CHART / "values-gpu.yaml"), "--set", "crds.check=false,mlflow.enabled=false"),
    *("--set-json", 'fleet.pools[1].nodeSelector={"pool":"gpu"}'),
)


def test_pods_of_a_pool_land_on_its_nodes_and_ray_gets_the_configuration(nodes: Bed, namespace: str) -> None:
    with serve_dashboard() as dashboard, nodes.kuberay(namespace, HTTP_PROXY=dashboard.url):
        nodes.helm("install", "packline", str(CHART), "-n", namespace, *_GPU_VALUES)
        placed = {"headgroup": {"cpu-0"}, "default": {"cpu-0"}, "gpu": {"gpu-0"}}
        wait(lambda: _placed(nodes, namespace) == placed, "head and workers are placed", tell=nodes.logs)
        (worker,) = _pods(nodes, namespace, "gpu")
        assert worker["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"

        port = _port(nodes, namespace)
        assert (port.view().pools or {})["gpu"] == Pool(1.0, 1)
        port.put({"invoices": _invoices()})
        wait(lambda: dashboard.details()["applications"], "KubeRay hands the configuration over")
        address, config = dashboard.configs[-1]
        head = rf"http://packline-\w+-head-svc\.{namespace}\.svc\.[\w.]+:8265"
        assert re.match(f"{head}/api/serve/applications/", address)
        assert config == json.loads(nodes.get("rayservice", "packline", "-n", namespace)["spec"]["serveConfigV2"])
        ServeDeploySchema.model_validate(config)
        applications = {one["name"]: one for one in config["applications"]}
        options = applications["invoices"]["deployments"][0]["ray_actor_options"]
        assert (options["num_gpus"], options["resources"]) == (0.25, {"pool_gpu": 0.001})

        wait(lambda: _running(nodes, namespace) == set(applications), "KubeRay tells that they run")
        cluster = _active(nodes, namespace)["rayClusterName"]
        port.put({"invoices": _invoices(), "receipts": _invoices() | {"name": "receipts", "route_prefix": "/receipts"}})
        wait(lambda: "receipts" in _running(nodes, namespace), "a change is handed over, too")
        assert _active(nodes, namespace)["rayClusterName"] == cluster, "on the same cluster"


def test_a_pool_that_does_not_tolerate_its_nodes_taint_gets_none(nodes: Bed, namespace: str) -> None:
    with nodes.kuberay(namespace):
        text = nodes.helm("template", "packline", str(CHART), "-n", namespace, *_GPU_VALUES)
        service = next(one for one in yaml.safe_load_all(text) if one and one["kind"] == "RayService")
        for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
            group["template"]["spec"].pop("tolerations", None)
        nodes.apply(service)

        def refused() -> bool:
            conditions = [
                condition
                for pod in _pods(nodes, namespace, "gpu")
                for condition in pod["status"].get("conditions", [])
                if condition["type"] == "PodScheduled"
            ]
            return any("untolerated taint" in condition.get("message", "") for condition in conditions)

        wait(refused, "the scheduler says why")
        assert _placed(nodes, namespace).get("gpu") == {None}


def _port(bed: Bed, namespace: str) -> RayServiceFleet:
    """The operator's own, as its service account; no Serve answers it."""
    account = bed.kubeconfig("packline-operator", namespace)
    api = Api(kubernetes.config.new_client_from_config(str(account)))
    cache = Cache()
    cache.replace(SERVICES, *api.list(services_path(namespace)), namespace)
    serve = FleetApi("http://127.0.0.1:1")
    return RayServiceFleet(api, cache, namespace, serve, Network(host="0.0.0.0", proxies="EveryNode"))


def _invoices() -> dict[str, Any]:
    active = Version("v1", f"sha256:{'0' * 64}", "s3://packline/production/bundles/0")
    serving = ServingConfig(pack="invoices", task="ocr", active=active)
    return pack_application(PackApplication(serving, pool="gpu", gpus=0.25, max_replicas=4))


def _pods(bed: Bed, namespace: str, group: str = "") -> list[dict[str, Any]]:
    """The fleet's: all, or those of one group."""
    wanted = f"ray.io/group={group}" if group else "ray.io/group"
    return list(bed.get("pods", "-n", namespace, "-l", wanted)["items"])


def _placed(bed: Bed, namespace: str) -> dict[str, set[str | None]]:
    """Group -> the nodes of its pods."""
    placed: dict[str, set[str | None]] = {}
    for pod in _pods(bed, namespace):
        placed.setdefault(pod["metadata"]["labels"]["ray.io/group"], set()).add(pod["spec"].get("nodeName"))
    return placed


def _active(bed: Bed, namespace: str) -> dict[str, Any]:
    """What KubeRay tells of the cluster that serves."""
    status = bed.get("rayservice", "packline", "-n", namespace).get("status", {})
    active: dict[str, Any] = status.get("activeServiceStatus", {})
    return active


def _running(bed: Bed, namespace: str) -> set[str]:
    told = _active(bed, namespace).get("applicationStatuses", {})
    return {name for name, one in told.items() if one["status"] == "RUNNING"}
