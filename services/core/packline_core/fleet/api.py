"""Serve's REST API: one declarative configuration in, what became of it out."""

from __future__ import annotations

import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packline_core.config import Settings
from packline_core.errors import FailedPrecondition, InvalidInput, Unavailable

_PATH = "/api/serve/applications/"
# Serve may fail while it starts on a busy machine; the same configuration may be sent any number of times.
_PUT_PAUSES = (1.0, 5.0)
_TAKING_CALLS = frozenset({"RUNNING", "UPDATING", "PENDING_MIGRATION"})
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica as Serve knows it; `state` is `RUNNING`, `UPDATING`, `STARTING`, `STOPPING` or another of Serve's."""

    replica_id: str
    state: str
    node: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class ApplicationStatus:
    """One application as Serve knows it.

    Attributes:
        name: The Pack, or a service of Packline's own.
        status: `RUNNING`, `DEPLOYING`, `DEPLOY_FAILED`, `UNHEALTHY`, `DELETING`, …
        message: Why, where it is not running.
        replicas: Of all its deployments.
        config: The application as it was last PUT; None where it was not, or is being deleted.
    """

    name: str
    status: str
    message: str
    replicas: tuple[ReplicaStatus, ...]
    config: Mapping[str, Any] | None = None

    @property
    def running(self) -> tuple[ReplicaStatus, ...]:
        """The replicas that take calls: one that hangs in `reconfigure()` is UPDATING and takes them, too."""
        return tuple(replica for replica in self.replicas if replica.state in _TAKING_CALLS)


class FleetApi:
    """The REST API of one fleet.

    Args:
        base: `Settings.serve_api`.
        token: Ray's own token, where it asks for one.
        timeout: Seconds for one request.
    """

    def __init__(self, base: str, token: str = "", timeout: float = 60.0) -> None:
        self._url = base.rstrip("/") + _PATH
        self._token = token
        self._timeout = timeout

    @classmethod
    def of(cls, settings: Settings) -> FleetApi:
        """The API of an installation, with the token that its Ray was started with or that Ray's variables name."""
        token = os.environ.get("RAY_AUTH_TOKEN", "")
        named = os.environ.get("RAY_AUTH_TOKEN_PATH")
        for path in (settings.home / "ray" / "token", Path(named) if named else None):
            if not token and path is not None and path.is_file():
                token = path.read_text(encoding="ascii").strip()
        return cls(settings.serve_api, token)

    def details(self) -> dict[str, Any]:
        """Serve's own description of everything that it runs (`ServeInstanceDetails`).

        Raises:
            Unavailable: Nobody answers there.
        """
        details: dict[str, Any] = json.loads(self._call("GET"))
        return details

    def applications(self) -> dict[str, ApplicationStatus]:
        """Every application by name; raises `Unavailable`."""
        return {name: _status(name, raw) for name, raw in self.details().get("applications", {}).items()}

    def put(self, config: Mapping[str, Any]) -> None:
        """Makes `config` (from `fleet.schema`) what the fleet is to be; returns once Serve took it, not when it is so.

        Raises:
            InvalidInput: Serve does not accept it; the message holds its words.
            Unavailable: Nobody answers there.
        """
        body = json.dumps(config).encode()
        for pause in _PUT_PAUSES:
            try:
                self._call("PUT", body)
                return
            except Unavailable as error:
                _log.warning("Serve failed to take the configuration, which is sent again in %.0f s: %s", pause, error)
            time.sleep(pause)
        self._call("PUT", body)

    def wait_running(self, *names: str, timeout: float = 120.0, poll: float = 0.25) -> dict[str, ApplicationStatus]:
        """Waits until the named applications run and those being deleted are gone.

        Raises:
            FailedPrecondition: One failed to deploy; the message holds Serve's words.
            Unavailable: It took longer than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            now = self.applications()
            for name in names:
                if name in now and now[name].status == "DEPLOY_FAILED":
                    raise FailedPrecondition(
                        f"application {name} failed to deploy: {now[name].message[-2000:]}", reason="DEPLOY_FAILED"
                    )
            ready = all(name in now and now[name].status == "RUNNING" for name in names)
            if ready and not any(status.status == "DELETING" for status in now.values()):
                return now
            if time.monotonic() > deadline:
                states = {name: status.status for name, status in now.items()}
                raise Unavailable(f"the fleet is not as wanted after {timeout:.0f} s: {states}", reason="NOT_READY")
            time.sleep(poll)

    def _call(self, method: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:
                answer: bytes = response.read()
                return answer
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")[-2000:]
            if error.code in {400, 422}:
                raise InvalidInput(f"Serve refused the configuration: {text}", reason="INVALID_FLEET") from None
            raise Unavailable(f"Serve answered {error.code} at {self._url}: {text}", reason="FLEET_ERROR") from None
        except (urllib.error.URLError, OSError) as error:
            raise Unavailable(
                f"no fleet answers at {self._url} ({error}); start it, or correct PACKLINE_SERVE_API",
                reason="FLEET_UNREACHABLE",
            ) from None


def _status(name: str, raw: Mapping[str, Any]) -> ApplicationStatus:
    replicas = [
        ReplicaStatus(
            replica_id=str(replica["replica_id"]),
            state=str(replica["state"]),
            node=str(replica.get("node_id") or ""),
            pid=replica.get("pid"),
        )
        for deployment in raw.get("deployments", {}).values()
        for replica in deployment.get("replicas", [])
    ]
    messages = [str(raw.get("message") or "")]
    messages += [str(d.get("message") or "") for d in raw.get("deployments", {}).values()]
    status = str(raw["status"])
    config = None if status == "DELETING" else raw.get("deployed_app_config")
    return ApplicationStatus(name, status, "; ".join(filter(None, messages)), tuple(replicas), config)
