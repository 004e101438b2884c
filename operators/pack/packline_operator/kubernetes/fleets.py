"""All fleets of the operator: a worker for each namespace that has Packs or a fleet, once this operator acts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime

from packline_operator.kubernetes.agenda import Agenda
from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.cache import PACKS, SERVICES, Cache
from packline_operator.kubernetes.fleet import FLEET_LABEL, services_path
from packline_operator.kubernetes.open_fleet import OpenFleet, Shared
from packline_operator.kubernetes.settings import OperatorSettings
from packline_operator.kubernetes.source import packs_path
from packline_operator.kubernetes.worker import Worker

# A pass may wait for slow peers, Pack after Pack; one that takes longer hangs.
_HANGS_AFTER = 900.0


class Fleets:
    """The workers.

    Args:
        settings: The operator's.
        api: Of Kubernetes.
        clock: The loops' time.
        guard: Raises where this operator must not act.
    """

    def __init__(
        self, settings: OperatorSettings, api: Api, clock: Callable[[], datetime], guard: Callable[[], None]
    ) -> None:
        self.cache = Cache(self._changed)
        self._shared = Shared(settings, api, self.cache, clock, guard)
        self._lock = threading.Lock()
        self._workers: dict[str, Worker] = {}
        self._acts = False

    def act(self) -> None:
        """Starts the workers, on what a full list gives: a Pack that was not seen yet would count as a stranger."""
        self.resync()
        with self._lock:
            self._acts = True
        for namespace in self.cache.namespaces():
            self._changed(namespace, None)

    def resync(self) -> None:
        """Lists all anew, whatever a watch may have missed, and ends workers that have nothing left to do.

        Raises:
            Unavailable: The API does not answer.
        """
        for kind, path in ((PACKS, packs_path), (SERVICES, services_path)):
            for namespace in self._shared.settings.namespaces or ("",):
                items, version = self._shared.api.list(path(namespace))
                self.cache.replace(kind, items, version, namespace)
        with self._lock:
            idle = [name for name in self._workers if not self._wanted(name)]
            ending = [self._workers.pop(name) for name in idle]
        for worker in ending:
            worker.end()

    def healthy(self) -> bool:
        """Whether no worker hangs."""
        with self._lock:
            return all(time.monotonic() - worker.beat < _HANGS_AFTER for worker in self._workers.values())

    def _changed(self, namespace: str, pack: str | None) -> None:
        with self._lock:
            if not self._acts:
                return
            worker = self._workers.get(namespace)
            if worker is None and self._wanted(namespace):
                worker = self._workers[namespace] = self._worker(namespace)
                worker.start()
        if worker is not None:
            worker.agenda.wake(pack)

    def _wanted(self, namespace: str) -> bool:
        """A RayService without the label, where there is no Pack, is somebody else's."""
        services = self.cache.in_namespace(SERVICES, namespace)
        marked = any(FLEET_LABEL in (service["metadata"].get("labels") or {}) for service in services)
        return marked or bool(self.cache.in_namespace(PACKS, namespace))

    def _worker(self, namespace: str) -> Worker:
        fleet = OpenFleet(self._shared, namespace)

        def packs() -> list[str]:
            return [one["metadata"]["name"] for one in self.cache.in_namespace(PACKS, namespace)]

        return Worker(namespace, packs, fleet.loop, Agenda(self._shared.settings.settled_seconds))
