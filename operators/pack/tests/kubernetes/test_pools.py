"""Pools as groups of a RayService offer them, in each way in which KubeRay takes resources."""

from typing import Any

import pytest
from packline_operator.facts import Pool
from packline_operator.kubernetes.pools import pools_of


def service(*workers: dict[str, Any], head: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {"spec": {"rayClusterConfig": {"headGroupSpec": head or {}, "workerGroupSpecs": list(workers), **cluster}}}


def group(*pools: str, gpus: int = 0, **more: Any) -> dict[str, Any]:
    quoted = ", ".join(f'\\"pool_{name}\\": 1' for name in pools)
    limits = {"cpu": "4", **({"nvidia.com/gpu": gpus} if gpus else {})}
    container = {"name": "ray", "resources": {"limits": limits}}
    params = {"resources": f"'\"{{{quoted}}}\"'"}
    return {"rayStartParams": params, "template": {"spec": {"containers": [container]}}, **more}


def test_a_head_may_offer_a_pool_and_groups_of_workers_others() -> None:
    found = pools_of(service(group("gpu", gpus=2, replicas=3), head=group("default")))
    assert found == {"default": Pool(0.0, 1), "gpu": Pool(2.0, 3)}


def test_groups_may_share_a_pool() -> None:
    found = pools_of(service(group("a", replicas=1), group("a", "b", gpus=1, replicas=2)))
    assert found == {"a": Pool(1.0, 3), "b": Pool(1.0, 2)}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"rayStartParams": {"resources": '"{\\"pool_a\\": 1}"'}}, {"a"}),
        ({"rayStartParams": {"resources": '{"pool_a": 1, "other": 2}'}}, {"a"}),
        ({"rayStartParams": {"resources": "no json"}}, set()),
        ({"rayStartParams": {"resources": "3"}}, set()),
        ({"rayStartParams": {}}, set()),
        ({"resources": {"pool_a": "1"}}, {"a"}),
        ({}, set()),
    ],
)
def test_forms_of_resources(given: dict[str, Any], expected: set[str]) -> None:
    assert set(pools_of(service({**given, "replicas": 1}))) == expected


@pytest.mark.parametrize(
    ("more", "autoscaling", "nodes"),
    [
        ({"replicas": 2, "maxReplicas": 5}, False, 2),
        ({"replicas": 0, "maxReplicas": 5}, True, 5),
        ({"replicas": 2, "maxReplicas": 5, "suspend": True}, True, 0),
        ({"replicas": 0, "maxReplicas": 5}, False, 0),
    ],
)
def test_how_many_nodes_a_pool_may_have(more: dict[str, Any], autoscaling: bool, nodes: int) -> None:
    found = pools_of(service(group("a", **more), enableInTreeAutoscaling=autoscaling))
    assert found["a"].nodes == nodes


@pytest.mark.parametrize(
    ("given", "gpus"),
    [
        ({"rayStartParams": {"num-gpus": "2", "resources": '{"pool_a": 1}'}}, 2.0),
        ({"resources": {"GPU": "1", "pool_a": "1"}}, 1.0),
        ({"rayStartParams": {"num-gpus": "many", "resources": '{"pool_a": 1}'}}, 0.0),
    ],
)
def test_gpus_of_a_node(given: dict[str, Any], gpus: float) -> None:
    assert pools_of(service({**given, "replicas": 1}))["a"].gpus == gpus


def test_a_service_without_a_cluster_has_none() -> None:
    assert pools_of({"spec": {}}) == {} and pools_of({}) == {}
