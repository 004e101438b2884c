"""The pools of a fleet, read from its RayService: a group of pods offers one by the Ray resource `pool_<name>`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from packline_operator.facts import Pool

_PREFIX = "pool_"


def pools_of(service: Mapping[str, Any]) -> dict[str, Pool]:
    """Every pool by name; several groups may share one."""
    cluster = service.get("spec", {}).get("rayClusterConfig") or {}
    pools: dict[str, Pool] = {}
    for group, nodes in _groups(cluster):
        for name in _resources(group):
            if name.startswith(_PREFIX):
                before = pools.get(name.removeprefix(_PREFIX), Pool(0.0, 0))
                here = Pool(max(before.gpus or 0.0, _gpus(group)), (before.nodes or 0) + nodes)
                pools[name.removeprefix(_PREFIX)] = here
    return pools


def _groups(cluster: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Each group of pods with the number of nodes that it may have."""
    head = cluster.get("headGroupSpec")
    if head:
        yield head, 1
    for group in cluster.get("workerGroupSpecs") or []:
        grows = cluster.get("enableInTreeAutoscaling") and not group.get("suspend")
        count = group.get("maxReplicas", 1) if grows else 0 if group.get("suspend") else group.get("replicas", 0)
        yield group, count


def _resources(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Both where KubeRay takes them from: a field of the group, and a flag whose JSON is quoted for a shell."""
    given = group.get("resources")
    if given:
        return dict(given)
    text = str((group.get("rayStartParams") or {}).get("resources", "")).strip().strip("'")
    for _ in range(2):
        try:
            parsed = json.loads(text) if text else {}
        except ValueError:
            parsed = {}
        if isinstance(parsed, dict):
            return parsed
        text = str(parsed)
    return {}


def _gpus(group: Mapping[str, Any]) -> float:
    """Of one node of the group."""
    stated = (group.get("rayStartParams") or {}).get("num-gpus") or (group.get("resources") or {}).get("GPU")
    if stated is None:
        # As KubeRay: the limits of the first container, which is Ray's.
        containers = ((group.get("template") or {}).get("spec") or {}).get("containers") or [{}]
        limits = (containers[0].get("resources") or {}).get("limits") or {}
        stated = next((count for name, count in limits.items() if name.lower().endswith("gpu")), 0)
    try:
        return float(stated)
    except ValueError:
        return 0.0
