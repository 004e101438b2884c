"""The bed itself: a real API server with RBAC, nodes with GPUs, and a scheduler that heeds them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.bed import Bed, CommandFailed
from tests.cluster.nodes import CPU_NODE, GPU, GPU_NODE
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster]


def test_it_tells_its_version_and_takes_kubectl_and_helm(cluster: Bed) -> None:
    assert cluster.version == "v1.36.3"
    assert json.loads(cluster.kubectl("version", "-o", "json"))["clientVersion"]["gitVersion"] == cluster.version
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"
    assert cluster.helm("list", "--all-namespaces", "-q") == ""


def test_a_service_account_may_do_what_rbac_grants_it(cluster: Bed, namespace: str) -> None:
    mine = cluster.kubeconfig("default", namespace)
    with pytest.raises(CommandFailed, match=f"system:serviceaccount:{namespace}:default.*cannot list"):
        cluster.kubectl("get", "configmaps", kubeconfig=mine)
    cluster.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", "-n", namespace)
    subject = f"--serviceaccount={namespace}:default"
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", subject, "-n", namespace)
    wait(lambda: cluster.kubectl("get", "configmaps", "-o", "name", kubeconfig=mine) is not None, "RBAC has seen it")
    with pytest.raises(CommandFailed, match="cannot create"):
        cluster.kubectl("create", "configmap", "no", kubeconfig=mine)


def test_what_was_written_outlives_the_api_server(cluster: Bed, namespace: str) -> None:
    cluster.kubectl("create", "configmap", "kept", "-n", namespace)
    cluster.kill_api()
    with pytest.raises(CommandFailed, match="refused"):
        cluster.kubectl("get", "configmap", "kept", "-n", namespace)
    cluster.restart_api()
    assert cluster.get("configmap", "kept", "-n", namespace)["metadata"]["name"] == "kept"


def test_pod_security_is_enforced(cluster: Bed) -> None:
    name = cluster.create_namespace("restricted", **{"pod-security.kubernetes.io/enforce": "restricted"})
    with pytest.raises(CommandFailed, match="violates PodSecurity"):
        cluster.apply(_pod("root", name))


def test_nodes_are_ready_and_offer_gpus(nodes: Bed) -> None:
    found = {node["metadata"]["name"]: node for node in nodes.get("nodes")["items"]}
    assert set(found) == {CPU_NODE.name, GPU_NODE.name}
    assert found["gpu-0"]["status"]["allocatable"][GPU] == "4"
    assert GPU not in found["cpu-0"]["status"]["allocatable"]


def test_a_tainted_node_takes_only_pods_that_tolerate_it(nodes: Bed, namespace: str) -> None:
    tolerations = [{"key": GPU, "operator": "Exists"}]
    nodes.apply(_pod("tolerant", namespace, tolerations=tolerations, gpus=1), _pod("other", namespace, gpus=1))
    nodes.kubectl("wait", "--for=condition=Ready", "pod/tolerant", "-n", namespace, "--timeout=60s")
    assert nodes.get("pod", "tolerant", "-n", namespace)["spec"]["nodeName"] == "gpu-0"

    def refused() -> bool:
        conditions = nodes.get("pod", "other", "-n", namespace)["status"].get("conditions", [])
        return any(c["type"] == "PodScheduled" and "untolerated taint" in c.get("message", "") for c in conditions)

    wait(refused, "the scheduler says why")


def _pod(name: str, namespace: str, *, gpus: int = 0, **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": "none.invalid/none"}
    if gpus:
        container["resources"] = {"limits": {GPU: str(gpus)}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **spec}}
