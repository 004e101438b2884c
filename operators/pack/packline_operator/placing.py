"""What keeps a Pack off the nodes that its manifest names, and where its replicas stay as long as that is so."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packline_core.units import parse_gpus

from packline_operator.domain import Observed
from packline_operator.reasons import Reason


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a Pack cannot be placed as its manifest says."""

    reason: Reason
    message: str


def obstacle(observed: Observed) -> Obstacle | None:
    """What is in the way, if anything is that only a person can clear."""
    if observed.manifest is None:
        return None
    serving, found = observed.manifest.spec.serving, observed.serving
    if observed.limit and (found is None or found.config is None):
        message = f"The fleet carries {observed.limit} Packs, and older ones take all places; use another namespace."
        return Obstacle(Reason.FLEET_FULL, message)
    if observed.pools is None:
        return None
    pool = observed.pools.get(serving.pool)
    if pool is None:
        named = ", ".join(sorted(observed.pools)) or "none"
        message = f"spec.serving.pool: the fleet has no pool {serving.pool!r} (its pools: {named})."
        return Obstacle(Reason.POOL_MISSING, message)
    if pool.nodes == 0:
        return Obstacle(Reason.POOL_TOO_SMALL, f"spec.serving.pool: pool {serving.pool!r} may have no node at all.")
    gpus = parse_gpus(serving.gpus)
    if pool.gpus is not None and gpus > pool.gpus:
        has = f"{pool.gpus:g} GPUs" if pool.gpus else "no GPU"
        message = f"spec.serving.gpus: a replica wants {serving.gpus}, and a node of pool {serving.pool!r} has {has}."
        return Obstacle(Reason.POOL_TOO_SMALL, message)
    return None


def placed(wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """The application as wanted, on the nodes where it runs already: rollouts and protection must not wait."""
    result = copy.deepcopy(dict(wanted))
    deployments = (found or {}).get("deployments")
    for deployment, before in zip(
        result["deployments"], deployments if isinstance(deployments, list) else (), strict=False
    ):
        if isinstance(before, Mapping) and isinstance(before.get("ray_actor_options"), Mapping):
            deployment["ray_actor_options"] = copy.deepcopy(dict(before["ray_actor_options"]))
    return result
