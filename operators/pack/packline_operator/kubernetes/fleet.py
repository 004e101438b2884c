"""A namespace's fleet: its RayService, whose `spec.serveConfigV2` is the operator's and all else somebody else's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.errors import FailedPrecondition, PacklineError, Unavailable
from packline_core.fleet.api import FleetApi
from packline_core.fleet.schema import Fleet, Network, build_config

from packline_operator.facts import Serving
from packline_operator.kubernetes.api import Api, Object
from packline_operator.kubernetes.cache import SERVICES, Cache
from packline_operator.kubernetes.pools import pools_of
from packline_operator.ports import FleetView
from packline_operator.serving import differences

API_VERSION = "ray.io/v1"
FLEET_LABEL = "packline.dev/fleet"
FLEET_MISSING = "FLEET_MISSING"
_SERVICES = frozenset({TRAINING_APPLICATION, MONITORING_APPLICATION})


def services_path(namespace: str = "") -> str:
    """Where RayServices are: of one namespace, or of all."""
    return f"/apis/{API_VERSION}/{f'namespaces/{namespace}/' if namespace else ''}{SERVICES}"


def find_service(cache: Cache, namespace: str) -> Object:
    """The namespace's fleet: the RayService with the label `packline.dev/fleet`, or the only one.

    Raises:
        Unavailable: There is none, or nobody can say which one it is.
    """
    services = cache.in_namespace(SERVICES, namespace)
    marked = [one for one in services if FLEET_LABEL in (one["metadata"].get("labels") or {})]
    found = marked or services
    if len(found) == 1:
        return found[0]
    if not found:
        message = f"there is no RayService in namespace {namespace}; install the chart's fleet there"
        raise Unavailable(message, reason=FLEET_MISSING)
    names = ", ".join(one["metadata"]["name"] for one in found)
    message = f"namespace {namespace} has several RayServices ({names}); mark one with the label {FLEET_LABEL}"
    raise Unavailable(message, reason="FLEET_AMBIGUOUS")


class RayServiceFleet:
    """A `FleetPort`.

    Args:
        api: Of Kubernetes.
        cache: Where RayServices are seen.
        namespace: The fleet's.
        serve: Serve's REST API on the fleet's head.
        network: Ports within the fleet.
    """

    def __init__(self, api: Api, cache: Cache, namespace: str, serve: FleetApi, network: Network) -> None:
        self._api = api
        self._cache = cache
        self._namespace = namespace
        self._serve = serve
        self._network = network

    def view(self) -> FleetView:
        """The configuration as the RayService has it, and what Serve says became of it."""
        service = find_service(self._cache, self._namespace)
        config = _config(service)
        found = {
            one["name"]: one for one in config.get("applications") or [] if isinstance(one, dict) and "name" in one
        }
        wanted = build_config(Fleet(network=self._network))
        services = wanted.pop("applications")
        others = {key: value for key, value in config.items() if key != "applications"}
        current = not any(differences(others, wanted)) and not any(
            any(differences(found.get(one["name"]), one)) for one in services
        )
        try:
            told, trouble = self._serve.applications(), None
        except PacklineError as error:
            told, trouble = {}, error
        packs = {}
        for name in (set(found) | set(told)) - _SERVICES:
            serving = Serving(config=found.get(name))
            if name in told:
                running = frozenset(replica.replica_id for replica in told[name].running)
                serving = Serving(found.get(name), told[name].status, told[name].message, running)
            elif name in found:
                # KubeRay hands it over within seconds.
                serving = Serving(found[name], "NOT_STARTED")
            packs[name] = serving
        return FleetView(packs, current, pools_of(service), trouble)

    def put(self, packs: Mapping[str, Mapping[str, Any]]) -> None:
        """Applies `spec.serveConfigV2`, and nothing beside it."""
        service = find_service(self._cache, self._namespace)
        config = build_config(Fleet(network=self._network))
        config["applications"] += [dict(packs[name]) for name in sorted(packs)]
        metadata = service["metadata"]
        if metadata.get("deletionTimestamp"):
            raise FailedPrecondition(f"RayService {metadata['name']} is being deleted", reason="FLEET_DELETING")
        body = {
            "apiVersion": API_VERSION,
            "kind": "RayService",
            # With the uid: a RayService that was deleted in between must not come back as this one field.
            "metadata": {key: metadata[key] for key in ("name", "namespace", "uid")},
            # JSON is YAML that every parser reads alike.
            "spec": {"serveConfigV2": json.dumps(config, indent=1)},
        }
        self._cache.put(SERVICES, self._api.apply(f"{services_path(self._namespace)}/{metadata['name']}", body))


def _config(service: Object) -> dict[str, Any]:
    """What stands in `serveConfigV2`; nothing where nobody can read it, so that it is written anew."""
    try:
        config = yaml.safe_load(service.get("spec", {}).get("serveConfigV2") or "")
    except yaml.YAMLError:
        return {}
    return config if isinstance(config, dict) and isinstance(config.get("applications") or [], list) else {}
