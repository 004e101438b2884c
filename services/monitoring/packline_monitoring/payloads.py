"""Payloads in the object store: named by content within their Pack, kept once, removed when no row names them.

Removal and arrival of the same content may meet. Both take place in this process, so a count of arrivals settles it:
content on its way in is not removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Condition

from packline_core.errors import NotFound
from packline_core.store import ObjectStore, object_name

AREA = "monitoring"


class Payloads:
    """The payloads of all Packs."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._changed = Condition()
        self._arriving: Counter[tuple[str, str]] = Counter()
        self._removing: set[tuple[str, str]] = set()

    @contextmanager
    def arriving(self, keys: Collection[tuple[str, str]]) -> Iterator[None]:
        """Guards payloads, each (pack, digest), from before they are put until the row that names them is committed."""
        with self._changed:
            # Rare and short: only the same content, just being removed, is waited for.
            self._changed.wait_for(lambda: self._removing.isdisjoint(keys))
            self._arriving.update(keys)
        try:
            yield
        finally:
            with self._changed:
                self._arriving.subtract(keys)
                self._arriving += Counter()

    def put(self, pack: str, payload: bytes) -> None:
        """Keeps a payload, durably. Raises `StorageFull`."""
        self._store.put_bytes(f"{AREA}/{pack}", payload)

    def get(self, pack: str, digest: str) -> bytes:
        """A payload. Raises `NotFound`."""
        try:
            return self._store.get(object_name(f"{AREA}/{pack}", digest))
        except NotFound:
            raise not_kept(pack, digest) from None

    def remove(self, pack: str, digest: str) -> bool:
        """Removes a payload that no row names any more, unless the same content is on its way in."""
        key = (pack, digest)
        with self._changed:
            if self._arriving[key] > 0:
                return False
            self._removing.add(key)
        try:
            self._store.delete(object_name(f"{AREA}/{pack}", digest))
        finally:
            with self._changed:
                self._removing.discard(key)
                self._changed.notify_all()
        return True

    def remove_unfinished(self, before: datetime) -> int:
        """Removes payloads that a killed process left half written before then."""
        return self._store.remove_unfinished(AREA, before)

    def names(self) -> Iterator[tuple[str, str]]:
        """All that is kept: (pack, digest)."""
        for name in self._store.names(AREA):
            _, pack, _, value = name.split("/")
            yield pack, f"sha256:{value}"


def not_kept(pack: str, what: str) -> NotFound:
    """The answer for a payload that sampling left out or retention removed."""
    return NotFound(
        f"Pack {pack} keeps no payload of {what}: its sampling left it out, or its retention removed it",
        reason="PAYLOAD_NOT_KEPT",
        pack=pack,
    )
