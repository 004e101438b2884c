"""Packs declared as files: core's `PackFiles` as the loop's `PackSource`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packline_core.packs import PackFiles

from packline_operator.ports import Declared


class FileSource:
    """A `PackSource`."""

    def __init__(self, files: PackFiles) -> None:
        self._files = files

    def declared(self) -> Sequence[Declared]:
        """Every Pack, oldest first, and those whose manifest cannot be read: they serve on, and can be deleted."""
        scan = self._files.scan()
        readable = [
            Declared(name, stored.generation, stored.pack, deleting=stored.deleting)
            for name, stored in sorted(scan.packs.items(), key=lambda item: item[1].created_at)
        ]
        unreadable = [
            Declared(name, 0, None, error.message, deleting=name in scan.deleting)
            for name, error in scan.unreadable.items()
        ]
        return [*unreadable, *readable]

    def status(self, name: str) -> Mapping[str, Any] | None:
        """What lies in `status.json`."""
        return self._files.read_status(name)

    def write_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Writes `status.json`, where it differs."""
        self._files.write_status(name, status)

    def add_events(self, name: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Appends the events that are new."""
        known = {event.get("key") for event in self._files.read_events(name)}
        self._files.append_events(name, [event for event in events if event["key"] not in known])

    def remove(self, name: str) -> None:
        """Removes the Pack's folder."""
        self._files.remove(name)
