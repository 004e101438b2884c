"""The fleet's configuration through Serve's own REST API: one machine, or a Ray without Kubernetes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.fleet.api import FleetApi
from packline_core.fleet.schema import Fleet, Network, build_config

from packline_operator.facts import Pool, Serving
from packline_operator.ports import FleetView
from packline_operator.serving import differences

_SERVICES = frozenset({TRAINING_APPLICATION, MONITORING_APPLICATION})


class ServeFleet:
    """A `FleetPort`.

    Args:
        api: Of the fleet.
        network: How it is to be reached.
        pools: What it was started with.
    """

    def __init__(self, api: FleetApi, network: Network, pools: Mapping[str, Pool] | None = None) -> None:
        self._api = api
        self._network = network
        self._pools = pools

    def view(self) -> FleetView:
        """Reads the configuration, and what became of it."""
        applications = self._api.applications()
        packs = {
            name: Serving(
                config=application.config,
                status=application.status,
                message=application.message,
                replicas=frozenset(replica.replica_id for replica in application.running),
            )
            for name, application in applications.items()
            if name not in _SERVICES
        }
        wanted = build_config(Fleet(network=self._network))["applications"]
        found = {name: application.config for name, application in applications.items()}
        return FleetView(packs, not any(any(differences(found.get(w["name"]), w)) for w in wanted), self._pools)

    def drain(self, seconds: float) -> None:
        """Takes every application out, and waits so long for the calls in flight to end. Raises `Unavailable`."""
        self._api.put({**build_config(Fleet(network=self._network)), "applications": []})
        until = time.monotonic() + seconds
        while self._api.applications() and time.monotonic() < until:
            time.sleep(0.2)

    def put(self, packs: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes it whole."""
        config = build_config(Fleet(network=self._network))
        config["applications"] += [dict(packs[name]) for name in sorted(packs)]
        self._api.put(config)
