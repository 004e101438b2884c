"""The Packs of one namespace as the loop's `PackSource`: declared in objects, told of in their status and in Events."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from packline_core.errors import Conflict, NotFound, PacklineError
from packline_core.manifest import API_VERSION, KIND, parse_pack

from packline_operator.kubernetes.api import MANAGER, Api, NamespaceEnds, Object
from packline_operator.kubernetes.cache import PACKS, Cache
from packline_operator.kubernetes.status_schema import MAX_TEXT
from packline_operator.ports import Declared

FINALIZER = "packline.dev/pack"
_MAX_EVENT = 1000
_log = logging.getLogger(__name__)


def packs_path(namespace: str = "") -> str:
    """Where Packs are: of one namespace, or of all."""
    return f"/apis/{API_VERSION}/{f'namespaces/{namespace}/' if namespace else ''}{PACKS}"


class ClusterSource:
    """A `PackSource`.

    Args:
        api: Of Kubernetes.
        cache: Where Packs are seen.
        namespace: The fleet's.
        identity: The operator's, told in Events.
    """

    def __init__(self, api: Api, cache: Cache, namespace: str, identity: str) -> None:
        self._api = api
        self._cache = cache
        self._namespace = namespace
        self._identity = identity
        self._parsed: dict[tuple[str, int, bool], Declared] = {}

    def declared(self) -> Sequence[Declared]:
        """Every Pack, oldest first; one whose finalizer is gone is about to go, and counts no more."""
        parsed, found = {}, []
        for pack in self._cache.in_namespace(PACKS, self._namespace):
            metadata = pack["metadata"]
            deleting = "deletionTimestamp" in metadata
            if FINALIZER not in metadata.get("finalizers", []):
                if deleting:
                    continue
                if (trouble := self._hold(pack)) is not None:
                    # Nothing is made outside the cluster that a deletion could leave behind.
                    found.append(Declared(metadata["name"], metadata["generation"], None, trouble.message))
                    continue
            key = (metadata["uid"], metadata["generation"], deleting)
            parsed[key] = self._parsed.get(key) or _declared(pack, deleting)
            found.append(parsed[key])
        self._parsed = parsed
        return found

    def status(self, name: str) -> Mapping[str, Any] | None:
        """As last seen or written."""
        pack = self._cache.get(PACKS, self._namespace, name)
        status = (pack or {}).get("status")
        if not status or "loop" not in status:
            return None
        return {"traffic": {}, **status, "loop": {"scheduleSince": None, **status["loop"]}}

    def write_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Applies a status, where it differs from what is there."""
        pack = self._cache.get(PACKS, self._namespace, name)
        # An empty map would be a column that reads {}.
        wanted = {key: value for key, value in _clipped(status).items() if value != {}}
        if pack is None or pack.get("status") == wanted:
            return
        # With its version: nobody looks at the uid where a status is applied, and the next Pack of that name would
        # begin with what was told of this one.
        metadata = {key: pack["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion")}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": wanted}
        try:
            written = self._api.apply(f"{self._path(name)}/status", body)
        except (Conflict, NotFound):
            # It has changed, is gone, or is another by now: the next pass looks again.
            return
        self._cache.put(PACKS, written)

    def add_events(self, name: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Makes Events, each named by its key: one that exists was told before."""
        pack = self._cache.get(PACKS, self._namespace, name)
        if pack is None:
            return
        for event in events:
            try:
                self._api.create(f"/api/v1/namespaces/{self._namespace}/events", self._event(pack, event))
            except Conflict:
                continue
            except NamespaceEnds:
                return

    def namespace_ends(self) -> bool:
        """Whether the namespace is being deleted, asked without a right to read namespaces."""
        about = {"involvedObject": {"namespace": self._namespace}}
        body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": MANAGER}, **about}
        try:
            self._api.create(f"/api/v1/namespaces/{self._namespace}/events", body, dryRun="All")
        except NamespaceEnds:
            return True
        except PacklineError as error:
            return isinstance(error, NotFound)
        return False

    def remove(self, name: str) -> None:
        """Lets the finalizer go, and with it the object."""
        pack = self._cache.get(PACKS, self._namespace, name)
        if pack is None:
            return
        left = [one for one in pack["metadata"].get("finalizers", []) if one != FINALIZER]
        try:
            self._cache.put(PACKS, self._patch_finalizers(pack, left), gone=not left)
        except NotFound:
            self._cache.put(PACKS, pack, gone=True)

    def _hold(self, pack: Object) -> PacklineError | None:
        try:
            self._cache.put(PACKS, self._patch_finalizers(pack, [*pack["metadata"].get("finalizers", []), FINALIZER]))
        except PacklineError as error:
            _log.warning("%s: its finalizer cannot be set: %s", pack["metadata"]["name"], error.message)
            return error
        return None

    def _patch_finalizers(self, pack: Object, finalizers: list[str]) -> Object:
        metadata = {"resourceVersion": pack["metadata"]["resourceVersion"], "finalizers": finalizers}
        return self._api.merge(self._path(pack["metadata"]["name"]), {"metadata": metadata})

    def _event(self, pack: Object, event: Mapping[str, Any]) -> Object:
        metadata = pack["metadata"]
        mark = hashlib.sha256(f"{metadata['uid']} {event['key']}".encode()).hexdigest()[:16]
        at = datetime.fromisoformat(event["at"]).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        about = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion")}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{mark}", "namespace": self._namespace},
            "involvedObject": {"apiVersion": API_VERSION, "kind": KIND, **about},
            "type": event["type"],
            "reason": event["reason"],
            "message": _cut(event["message"], _MAX_EVENT),
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "source": {"component": MANAGER},
            "reportingComponent": MANAGER,
            "reportingInstance": self._identity,
        }

    def _path(self, name: str) -> str:
        return f"{packs_path(self._namespace)}/{name}"


def _declared(pack: Object, deleting: bool) -> Declared:
    metadata = pack["metadata"]
    try:
        manifest = parse_pack({key: pack[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    except PacklineError as error:
        return Declared(metadata["name"], metadata["generation"], None, error.message, deleting)
    return Declared(metadata["name"], metadata["generation"], manifest, deleting=deleting)


def _clipped(value: Any) -> Any:
    """As the CRD's schema takes it: no text beyond its limit, and what is null left out."""
    if isinstance(value, Mapping):
        return {key: _clipped(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_clipped(one) for one in value]
    return _cut(value, MAX_TEXT) if isinstance(value, str) else value


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
