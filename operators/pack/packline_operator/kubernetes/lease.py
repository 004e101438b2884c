"""A Lease, so that one operator acts: taken, renewed, and given up at once where it cannot be renewed in time.

As client-go's leader election: peers watch whether the Lease changes, by their own monotonic clocks, so that no clock
needs to be right. A holder stops well before a peer may start.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from packline_core.errors import Conflict, NotFound, PacklineError, Unavailable

from packline_operator.kubernetes import metrics
from packline_operator.kubernetes.api import Api, Object

NAME = "packline-operator"
_log = logging.getLogger(__name__)


class Lease:
    """One operator's part in the election.

    Args:
        api: Of Kubernetes.
        namespace: Where the Lease lies.
        identity: Tells this operator from its peers.
        seconds: After so long without a change a peer may take it.
        monotonic: A clock that nobody sets.
    """

    def __init__(
        self, api: Api, namespace: str, identity: str, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._identity = identity
        self._seconds = seconds
        self._monotonic = monotonic
        self._until = float("-inf")
        self._seen: tuple[object, float] = (None, float("-inf"))
        self._stop = threading.Event()

    def guard(self) -> None:
        """Raises `Unavailable` where this operator must not act: also after it slept through its own lease."""
        if self._monotonic() >= self._until:
            raise Unavailable("this operator does not hold the lease any more", reason="LEASE_LOST")

    def run(self, on_acquired: Callable[[], None], on_lost: Callable[[], None]) -> None:
        """Waits for the lease, calls `on_acquired`, renews until `stop`; calls `on_lost` where that fails."""
        held = False
        while not self._stop.is_set():
            try:
                self.attempt()
            except PacklineError as error:
                _log.warning("lease: %s", error.message)
            holds = self._monotonic() < self._until
            metrics.LEADING.set(holds)
            if holds and not held:
                _log.info("%s holds the lease", self._identity)
                held = True
                on_acquired()
            elif held and not holds:
                _log.error("%s lost the lease", self._identity)
                on_lost()
                return
            self._stop.wait(self._seconds / 5)

    def attempt(self) -> None:
        """Takes or renews the lease where it is free or this operator's; else looks whether its holder lives."""
        started = self._monotonic()
        try:
            lease = self._api.get(f"{self._path}/{NAME}")
        except NotFound:
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
            self._take(started, lambda spec: self._api.create(self._path, {**body, "spec": spec}), 0)
            return
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        mark = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if mark != self._seen[0]:
            self._seen = (mark, started)
        elif holder not in {"", self._identity} and started - self._seen[1] > float(
            spec.get("leaseDurationSeconds") or self._seconds
        ):
            holder = ""
        if holder in {"", self._identity}:
            turns = int(spec.get("leaseTransitions") or 0) + (holder == "")
            self._take(started, lambda told: self._api.replace(f"{self._path}/{NAME}", {**lease, "spec": told}), turns)
        else:
            self._until = float("-inf")

    def stop(self) -> None:
        """Ends `run`, and hands the lease to whoever waits for it."""
        self._stop.set()
        if self._monotonic() >= self._until:
            return
        self._until = float("-inf")
        try:
            lease = self._api.get(f"{self._path}/{NAME}")
            if lease["spec"].get("holderIdentity") == self._identity:
                self._api.replace(f"{self._path}/{NAME}", {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except PacklineError as error:
            _log.info("lease: not handed over: %s", error.message)

    def _take(self, started: float, write: Callable[[Object], Object], turns: int) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "renewTime": now,
            "acquireTime": now,
            "leaseTransitions": turns,
        }
        try:
            write(spec)
        except Conflict:
            # A peer was quicker; the next attempt sees who.
            return
        # From before the request: a peer counts from when it sees the change, and waits for the whole time.
        self._until = started + self._seconds * 2 / 3
