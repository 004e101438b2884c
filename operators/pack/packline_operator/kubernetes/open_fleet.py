"""One namespace's loop: the loop that runs everywhere, over Pack objects, a RayService and its services."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from packline_core.errors import PacklineError
from packline_core.fleet.api import FleetApi
from packline_core.fleet.schema import Network

from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.cache import Cache
from packline_operator.kubernetes.fleet import FLEET_MISSING, RayServiceFleet, find_service
from packline_operator.kubernetes.settings import OperatorSettings
from packline_operator.kubernetes.source import ClusterSource
from packline_operator.loop import Loop
from packline_operator.peers import Monitoring, Training

_SERVE_TIMEOUT = 15.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the fleets of one operator share.

    Attributes:
        settings: The operator's.
        api: Of Kubernetes.
        cache: What was last seen of it.
        clock: The loops' time.
        guard: Raises where this operator must not act.
    """

    settings: OperatorSettings
    api: Api
    cache: Cache
    clock: Callable[[], datetime]
    guard: Callable[[], None]


class OpenFleet:
    """The loop of one namespace, made anew where its RayService has another name.

    Args:
        shared: What all fleets share.
        namespace: The fleet's.
    """

    def __init__(self, shared: Shared, namespace: str) -> None:
        self._shared = shared
        self._namespace = namespace
        self._source = ClusterSource(shared.api, shared.cache, namespace, shared.settings.identity)
        self._name = ""
        self._loop: Loop | None = None
        self._peers: tuple[Training, Monitoring] | None = None

    def loop(self) -> Loop:
        """The loop over the fleet as it is now."""
        try:
            name = find_service(self._shared.cache, self._namespace)["metadata"]["name"]
        except PacklineError as error:
            name = self._name or "fleet"
            if error.reason == FLEET_MISSING:
                self._let_go()
        if self._loop is None or name != self._name:
            self._loop, self._name = self._open(name), name
        return self._loop

    def _open(self, name: str) -> Loop:
        for peer in self._peers or ():
            peer.close()
        place = {"name": name, "namespace": self._namespace}
        address = self._shared.settings.address.format(**place)
        training, monitoring = self._peers = (Training(address), Monitoring(address))
        serve = FleetApi(self._shared.settings.serve_api.format(**place), self._token(), _SERVE_TIMEOUT)
        network = Network(self._shared.settings.grpc_port, self._shared.settings.http_port, "0.0.0.0", "EveryNode")
        return Loop(
            source=self._source,
            fleet=RayServiceFleet(self._shared.api, self._shared.cache, self._namespace, serve, network),
            training=training,
            monitoring=monitoring,
            clock=self._shared.clock,
            die_after=self._shared.settings.die_after,
            guard=self._shared.guard,
            max_packs=self._shared.settings.max_packs,
        )

    def _token(self) -> str:
        """What Ray asks for: from a Secret beside the fleet, or from Ray's own variables."""
        if self._shared.settings.ray_auth_secret:
            path = f"/api/v1/namespaces/{self._namespace}/secrets/{self._shared.settings.ray_auth_secret}"
            return _decoded(self._shared.api.get(path))
        named = os.environ.get("RAY_AUTH_TOKEN_PATH")
        if named and Path(named).is_file():
            return Path(named).read_text("ascii").strip()
        return os.environ.get("RAY_AUTH_TOKEN", "")

    def _let_go(self) -> None:
        """Where the namespace ends and its fleet is gone, nobody can be asked to forget: its Packs must not hold it."""
        deleting = [pack for pack in self._source.declared() if pack.deleting]
        for pack in deleting if deleting and self._source.namespace_ends() else ():
            words = "%s/%s goes with its namespace; what training and monitoring kept of it is not forgotten"
            _log.warning(words, self._namespace, pack.name)
            self._source.remove(pack.name)


def _decoded(secret: Mapping[str, Any]) -> str:
    return base64.b64decode(secret.get("data", {}).get("auth_token", "")).decode("ascii").strip()
