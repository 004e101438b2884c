"""Plays KubeRay's part where no container runs: hands a RayService's `serveConfigV2` to a real Ray on this machine.

What comes back is written into the RayService's status as KubeRay 1.6.1 writes it (its `getAndCheckServeStatus` and
`calculateStatus`). Only for namespaces where KubeRay's operator does not run, since they would fight over the status.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import yaml
from packline_core.errors import PacklineError
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RunningRay

_PLACE = ("ray.io", "v1")
_POLL = 0.5
# What an interpreter raises where the API server is away or refuses; the next round tries again.
_AWAY = (kubernetes.client.ApiException, urllib3.exceptions.HTTPError, PacklineError)
_log = logging.getLogger(__name__)


@dataclass
class Bridge:
    """One namespace's RayService and one Ray.

    Args:
        objects: A client that may read RayServices and write their status.
        namespace: The one that is looked at; it has one RayService at most.
        fleet: The Ray.
        grpc_port: Where its gRPC ingress listens. In a cluster every pod has its own ports; on this machine they are
            Ray's to choose, so they replace those of the configuration.
        http_port: The same for HTTP.
    """

    objects: kubernetes.client.CustomObjectsApi
    namespace: str
    fleet: FleetApi
    grpc_port: int
    http_port: int
    configs: list[str] = field(default_factory=list)
    _put: str | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        while not self._stop.wait(_POLL):
            try:
                self._round()
            except _AWAY as error:
                _log.info("the bridge tries again: %s", error)

    def stop(self) -> None:
        self._stop.set()

    def _round(self) -> None:
        listed: Any = self.objects.list_namespaced_custom_object(*_PLACE, self.namespace, "rayservices")
        found = listed["items"]
        if not found:
            if self._put is not None:
                # KubeRay deletes the RayCluster, and with it everything that ran there.
                self.fleet.put(self._config("applications: []"))
                self._put = None
            return
        service = found[0]
        wanted = service["spec"].get("serveConfigV2", "")
        applications = self.fleet.details().get("applications", {})
        if wanted and (wanted != self._put or not applications):
            self.fleet.put(self._config(wanted))
            self._put = wanted
            self.configs.append(wanted)
        self._tell(service, applications)

    def _config(self, text: str) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load(text)
        config["http_options"] = {**config.get("http_options", {}), "host": "127.0.0.1", "port": self.http_port}
        config["grpc_options"] = {**config.get("grpc_options", {}), "port": self.grpc_port}
        return config

    def _tell(self, service: dict[str, Any], applications: Mapping[str, Any]) -> None:
        before = service.get("status", {})
        status = _status(service, before, applications)
        if status != before:
            # As KubeRay: an update of the whole status, refused where somebody else wrote in between.
            name, body = service["metadata"]["name"], {**service, "status": status}
            self.objects.replace_namespaced_custom_object_status(*_PLACE, self.namespace, "rayservices", name, body)


def _status(service: Mapping[str, Any], before: Mapping[str, Any], applications: Mapping[str, Any]) -> dict[str, Any]:
    cluster = f"{service['metadata']['name']}-bridge"
    statuses = {name: _application(details) for name, details in applications.items()}
    told = {"rayClusterName": cluster, "applicationStatuses": statuses}
    running = bool(statuses) and all(one["status"] == "RUNNING" for one in statuses.values())
    # A cluster becomes active once everything on it runs, and stays so.
    active = running or "rayClusterName" in before.get("activeServiceStatus", {})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {
        "type": "Ready",
        "status": "True" if active else "False",
        "reason": "NonZeroServeEndpoints" if active else "Initializing",
        "message": "Number of serve endpoints is greater than 0" if active else "RayService is initializing",
    }
    was = next(({**c} for c in before.get("conditions", []) if c["type"] == "Ready"), {})
    since = was.pop("lastTransitionTime", now)
    return {
        "activeServiceStatus": told if active else {},
        "pendingServiceStatus": {} if active else told,
        "conditions": [{**ready, "lastTransitionTime": since if was == ready else now}],
        "numServeEndpoints": int(active),
        "observedGeneration": service["metadata"]["generation"],
        "serviceStatus": "Running" if active else "",
    }


def _application(details: Mapping[str, Any]) -> dict[str, Any]:
    deployments = {
        name: {"status": one["status"], "message": one.get("message", "")}
        for name, one in details.get("deployments", {}).items()
    }
    return {
        "status": details["status"],
        "message": details.get("message", ""),
        "serveDeploymentStatuses": deployments,
    }


@contextmanager
def bridged(kubeconfig: Path, namespace: str, ray: RunningRay, fleet: FleetApi) -> Iterator[Bridge]:
    """A bridge at work, as long as the block lasts."""
    config: Any = kubernetes.config
    with config.new_client_from_config(str(kubeconfig)) as client:
        objects = kubernetes.client.CustomObjectsApi(client)
        bridge = Bridge(objects, namespace, fleet, ray.ports.grpc, ray.ports.http)
        thread = threading.Thread(target=bridge.run, name="bridge")
        thread.start()
        try:
            yield bridge
        finally:
            bridge.stop()
            thread.join()
