"""What was last seen of Packs and RayServices, by namespace. Watches, lists and our own writes all feed it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from packline_operator.kubernetes.api import Object

PACKS, SERVICES = "packs", "rayservices"
# Gets the namespace and, where one Pack alone has changed, its name.
Listener = Callable[[str, str | None], None]


class Cache:
    """Thread-safe; whatever it gives out is not to be changed.

    Args:
        listener: Called after a change that the loop should look at, not for what the operator itself writes.
    """

    def __init__(self, listener: Listener = lambda _namespace, _pack: None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._objects: dict[str, dict[tuple[str, str], Object]] = {PACKS: {}, SERVICES: {}}

    def put(self, kind: str, found: Object, *, gone: bool = False) -> None:
        """Takes in an object, unless a newer state of it is known already."""
        key = (found["metadata"]["namespace"], found["metadata"]["name"])
        with self._lock:
            known = self._objects[kind].get(key)
            if known is not None and _number(found) < _number(known):
                return
            if gone:
                self._objects[kind].pop(key, None)
            else:
                self._objects[kind][key] = found
        if gone or known is None or _mark(kind, known) != _mark(kind, found):
            self._listener(key[0], key[1] if kind == PACKS else None)

    def replace(self, kind: str, items: Sequence[Object], version: str, namespace: str = "") -> None:
        """Takes in a whole list, of one namespace or of all, and forgets what it lacks."""
        for item in items:
            self.put(kind, item)
        listed = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items}
        with self._lock:
            # What is newer than the list cannot be in it.
            known = self._objects[kind]
            places = {key for key in known if not namespace or key[0] == namespace}
            lost = [known[key] for key in places - listed if _number(known[key]) <= int(version)]
        for item in lost:
            self.put(kind, item, gone=True)

    def in_namespace(self, kind: str, namespace: str) -> list[Object]:
        """All objects of one namespace, oldest first."""
        with self._lock:
            found = [item for (place, _), item in self._objects[kind].items() if place == namespace]
        return sorted(found, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object."""
        with self._lock:
            return self._objects[kind].get((namespace, name))

    def namespaces(self) -> frozenset[str]:
        """Those that have anything."""
        with self._lock:
            return frozenset(place for objects in self._objects.values() for place, _ in objects)


def _number(found: Mapping[str, Any]) -> int:
    # Kubernetes' API server makes them of etcd's revisions, one sequence for all objects.
    return int(found["metadata"]["resourceVersion"])


def _mark(kind: str, found: Mapping[str, Any]) -> object:
    """What the loop should look at again once it differs."""
    metadata = found["metadata"]
    mark = (metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp"), metadata.get("labels"))
    if kind == PACKS:
        return mark
    active = (found.get("status") or {}).get("activeServiceStatus") or {}
    applications = active.get("applicationStatuses") or {}
    return mark, active.get("rayClusterName"), {name: one.get("status") for name, one in applications.items()}
