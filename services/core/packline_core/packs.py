"""The Packs of one machine as files: what Kubernetes' API server keeps on a cluster lies here in a folder.

    packs/NAME/pack.yaml      the manifest, with `metadata.generation`, `uid` and `creationTimestamp`
    packs/NAME/deleting       there once deletion was asked for: the loop tears the Pack down, then calls `remove`
    packs/NAME/status.json    written by the loop alone
    packs/NAME/events.jsonl   appended by the loop alone, bounded

Every write is a synced temporary file that is renamed into place under one lock, so that the command line and the loop
may work at once, and what was answered survives a kill.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from packline_core.errors import FailedPrecondition, InvalidInput, NotFound, PacklineError, StorageFull, is_disk_full
from packline_core.manifest import Pack, parse_pack

MANIFEST = "pack.yaml"
DELETING = "deleting"
STATUS = "status.json"
EVENTS = "events.jsonl"
# Set by whoever stores a manifest, never by whoever writes one.
_STORED_METADATA = ("generation", "uid", "creationTimestamp", "deletionTimestamp", "resourceVersion", "managedFields")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class StoredPack:
    """An applied Pack.

    Attributes:
        pack: Its manifest, as it was applied.
        generation: 1, and 1 more for each applied change.
        uid: Tells it from an earlier Pack of the same name.
        created_at: When it was first applied.
        deleting: Whether its deletion was asked for.
    """

    pack: Pack
    generation: int
    uid: str
    created_at: datetime
    deleting: bool


@dataclass(frozen=True, slots=True)
class Applied:
    """What one `apply` did."""

    change: Literal["created", "changed", "unchanged"]
    stored: StoredPack


@dataclass(frozen=True, slots=True)
class Scan:
    """All Packs that lie in the folder.

    Attributes:
        packs: Those that can be read, by name.
        unreadable: Name -> why its manifest cannot be read (edited by hand, or its task is no longer installed).
        deleting: Names whose deletion was asked for, readable or not.
    """

    packs: Mapping[str, StoredPack]
    unreadable: Mapping[str, PacklineError]
    deleting: frozenset[str]


class PackFiles:
    """The Packs below one folder.

    Args:
        folder: `Settings.packs`; made where it is missing.
        clock: Gives `creationTimestamp`.
        max_events: Events kept of one Pack; the oldest are forgotten.
    """

    def __init__(
        self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC), max_events: int = 1000
    ) -> None:
        self._root = folder
        self._clock = clock
        self._max_events = max_events

    def apply(self, pack: Pack) -> Applied:
        """Stores a manifest; it is on disk once this has returned.

        Raises:
            InvalidInput: A field changed that must not: `task`.
            FailedPrecondition: The Pack is being deleted.
            StorageFull: The disk took no more; what was stored before stands.
        """
        manifest = _without_stored(json.loads(pack.to_json()))
        with self._locked():
            folder = self._folder(pack.name)
            before = self._stored_manifest(folder)
            metadata: dict[str, Any]
            if before is None:
                metadata = {"generation": 1, "uid": str(uuid.uuid4()), "creationTimestamp": self._clock().isoformat()}
            else:
                if (folder / DELETING).exists():
                    raise FailedPrecondition(
                        f"Pack {pack.name} is being deleted; apply it again once it is gone", reason="BEING_DELETED"
                    )
                if _without_stored(before) == manifest:
                    return Applied("unchanged", self.get(pack.name))
                task = before["spec"]["task"]
                if task != pack.spec.task:
                    raise InvalidInput(
                        f"spec.task: it was {task!r} and cannot become {pack.spec.task!r}; delete the Pack first, or "
                        "apply it under another name",
                        reason="IMMUTABLE_FIELD",
                        field="spec.task",
                    )
                metadata = {key: before["metadata"][key] for key in _STORED_METADATA[:3]}
                metadata["generation"] += 1
            manifest["metadata"] |= metadata
            with _full_disk_is_said(folder):
                folder.mkdir(parents=True, exist_ok=True)
                _replace(folder / MANIFEST, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
        return Applied("changed" if before else "created", self.get(pack.name))

    def get(self, name: str) -> StoredPack:
        """One Pack; raises `NotFound`, or what is wrong with a manifest that cannot be read."""
        folder = self._folder(name)
        manifest = self._stored_manifest(folder)
        if manifest is None:
            raise NotFound(f"there is no Pack {name}", reason="PACK_NOT_FOUND", pack=name)
        metadata = manifest["metadata"]
        return StoredPack(
            pack=parse_pack(_without_stored(manifest)),
            generation=metadata["generation"],
            uid=metadata["uid"],
            created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
            deleting=(folder / DELETING).exists(),
        )

    def list(self) -> tuple[StoredPack, ...]:
        """Every Pack that can be read, by name."""
        return tuple(self.scan().packs.values())

    def scan(self) -> Scan:
        """Every Pack, with those that cannot be read and those to be deleted."""
        packs: dict[str, StoredPack] = {}
        unreadable: dict[str, PacklineError] = {}
        deleting = set()
        for name in self._names():
            if (self._folder(name) / DELETING).exists():
                deleting.add(name)
            try:
                packs[name] = self.get(name)
            except NotFound as error:
                if error.reason != "PACK_NOT_FOUND":
                    unreadable[name] = error
            except PacklineError as error:
                unreadable[name] = error
        return Scan(packs, unreadable, frozenset(deleting))

    def fingerprint(self) -> object:
        """Something that compares unequal once a Pack was applied or its deletion asked for; cheap enough to poll."""
        marks = []
        for name in self._names():
            for file in (MANIFEST, DELETING):
                try:
                    stat = (self._folder(name) / file).stat()
                    marks.append((name, file, stat.st_mtime_ns, stat.st_ino, stat.st_size))
                except FileNotFoundError:
                    continue
        return tuple(marks)

    def delete(self, name: str) -> bool:
        """Asks for deletion; the loop does it. False where it was asked for already.

        Raises:
            NotFound: There is no such Pack.
        """
        with self._locked():
            folder = self._folder(name)
            if not (folder / MANIFEST).exists():
                raise NotFound(f"there is no Pack {name}", reason="PACK_NOT_FOUND", pack=name)
            if (folder / DELETING).exists():
                return False
            with _full_disk_is_said(folder):
                _replace(folder / DELETING, self._clock().isoformat())
        return True

    def remove(self, name: str) -> None:
        """Removes a Pack's folder at once. Only for the loop, once the Pack serves no more."""
        with self._locked():
            folder = self._folder(name)
            if folder.exists():
                # Renamed first: a kill half-way leaves rubbish with a name that no Pack can have, never half a Pack.
                folder.rename(self._root / f".removed-{name}-{uuid.uuid4().hex}")
                _sync_folder(self._root)
            for rubbish in self._root.glob(".removed-*"):
                shutil.rmtree(rubbish)

    def read_status(self, name: str) -> dict[str, Any] | None:
        """What the loop last wrote; None before it did."""
        path = self._folder(name) / STATUS
        return _parsed(path.read_text("utf8")) if path.exists() else None

    def write_status(self, name: str, status: Mapping[str, Any]) -> bool:
        """Writes a status where it differs from what lies there; False where it does not, or the Pack is gone."""
        with self._locked():
            folder = self._folder(name)
            if not folder.exists() or self.read_status(name) == status:
                return False
            with _full_disk_is_said(folder):
                _replace(folder / STATUS, json.dumps(status, ensure_ascii=False, indent=1))
        return True

    def append_events(self, name: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Adds events at the end of a Pack's list; nothing where the Pack is gone."""
        if not events:
            return
        text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
        with self._locked():
            path = self._folder(name) / EVENTS
            if not path.parent.exists():
                return
            with _full_disk_is_said(path):
                lines = path.read_text("utf8").splitlines() if path.exists() else []
                if len(lines) >= self._max_events * 2:
                    kept = [line for line in lines[-self._max_events :] if _parsed(line) is not None]
                    _replace(path, "".join(line + "\n" for line in kept) + text)
                else:
                    _append(path, text)

    def read_events(self, name: str) -> tuple[dict[str, Any], ...]:
        """A Pack's events, oldest first, at most `max_events`."""
        path = self._folder(name) / EVENTS
        if not path.exists():
            return ()
        events = (_parsed(line) for line in path.read_text("utf8").splitlines())
        return tuple(event for event in events if event is not None)[-self._max_events :]

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name of a Pack", reason="INVALID_NAME", field="name")
        return self._root / name

    def _names(self) -> Sequence[str]:
        if not self._root.exists():
            return ()
        return sorted(path.name for path in self._root.iterdir() if _NAME.fullmatch(path.name))

    def _stored_manifest(self, folder: Path) -> dict[str, Any] | None:
        path = folder / MANIFEST
        try:
            manifest = yaml.safe_load(path.read_bytes())
        except FileNotFoundError:
            return None
        except yaml.YAMLError as error:
            raise InvalidInput(f"{path} is not YAML: {error}", reason="NOT_YAML") from None
        try:
            for key in ("generation", "uid", "creationTimestamp"):
                manifest["metadata"][key]
            manifest["spec"]["task"]
        except (KeyError, TypeError):
            raise InvalidInput(
                f"{path} was not written by `packline apply`; delete the Pack and apply its manifest again",
                reason="INVALID_MANIFEST",
            ) from None
        return dict(manifest)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _full_disk_is_said(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _without_stored(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _STORED_METADATA}
    return {**manifest, "metadata": metadata}


def _parsed(text: str) -> dict[str, Any] | None:
    """A JSON object; None for what is none, such as a line that a kill cut off."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _append(path: Path, text: str) -> None:
    with path.open("ab+", buffering=0) as stream:
        end = stream.seek(0, os.SEEK_END)
        if end:
            stream.seek(end - 1)
            if stream.read(1) != b"\n":  # a kill cut the last line off
                text = "\n" + text
        data = text.encode()
        try:
            while data:
                data = data[stream.write(data) :]
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(end)
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _full_disk_is_said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise StorageFull(
            f"the disk that holds {path} is full; nothing was changed. Free some space and try again"
        ) from error
