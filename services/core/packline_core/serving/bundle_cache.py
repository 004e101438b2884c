"""This node's verified bundles: copied from the store once, shared by all replicas, never half there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from packline_core.bundle import MANIFEST, Bundle, open_bundle, verify
from packline_core.errors import BundleRejected, PacklineError, StorageFull, Unavailable, is_disk_full
from packline_core.filesystem import answering, open_filesystem

_log = logging.getLogger(__name__)
_KEEP = 8
_UNUSED_SECONDS = 86_400.0
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 16 << 20


class BundleCache:
    """A folder of sealed bundles, named by digest. Safe for several processes at once.

    Args:
        folder: `Settings.cache`.
        clock: Seconds since the epoch.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self._folder

    def path(self, digest: str) -> Path:
        """Where the bundle of that digest lies or would lie."""
        return self._folder / "bundles" / _hex(digest)

    def fetch(self, uri: str, digest: str) -> Bundle:
        """The verified bundle, copied from `uri` where this node has no sound copy.

        Raises:
            BundleRejected: It is missing at `uri`, or not what the digest says.
            StorageFull: This node's disk took no more; nothing was left behind.
            Unavailable: The store does not answer.
        """
        target = self.path(digest)
        with self._locked(digest):
            if target.is_dir():
                try:
                    bundle = verify(target, digest)
                except BundleRejected as error:
                    _log.warning("cached bundle %s is damaged (%s); it is copied again", digest, error)
                    shutil.rmtree(target)
                else:
                    self.touch(digest)
                    return bundle
            self._copy(uri, digest, target)
            self.touch(digest)
            return open_bundle(target)

    def touch(self, digest: str) -> None:
        """Notes that the bundle is in use."""
        now = self._clock()
        try:
            os.utime(self.path(digest), (now, now))
        except FileNotFoundError:
            return

    def prune(self, in_use: frozenset[str]) -> list[str]:
        """Removes bundles that nobody on this node has used for a day, the most recent ones excepted.

        Args:
            in_use: Digests that stay in any case.

        Returns:
            Names of the folders removed.
        """
        root = self._folder / "bundles"
        held = {_hex(digest) for digest in in_use}
        folders = sorted((p for p in root.glob("*") if p.is_dir()), key=lambda p: p.stat().st_mtime, reverse=True)
        now = self._clock()
        removed = []
        for folder in folders[_KEEP:]:
            if folder.name not in held and now - folder.stat().st_mtime > _UNUSED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder.name)
        return removed

    def _copy(self, uri: str, digest: str, target: Path) -> None:
        (self._folder / "bundles").mkdir(parents=True, exist_ok=True)
        try:
            work = Path(tempfile.mkdtemp(prefix=f".{_hex(digest)[:12]}-", dir=self._folder))
            try:
                _download(uri, digest, work)
                verify(work, digest)
                work.rename(target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        except PacklineError:
            raise
        except FileNotFoundError as error:
            raise BundleRejected(
                f"the bundle at {uri} is not complete: {error.filename or error} is missing", reason="FILE_MISSING"
            ) from error
        except OSError as error:
            if is_disk_full(error):
                raise StorageFull(
                    f"{self._folder} has no room for bundle {digest}: {os.strerror(error.errno or 0)}; free some space",
                    path=str(self._folder),
                ) from error
            raise Unavailable(f"the store at {uri} cannot be read: {error}", reason="STORE_UNREACHABLE") from error

    @contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        locks = self._folder / "locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            stream = (locks / _hex(digest)).open("w")
        except OSError as error:
            if is_disk_full(error):
                raise StorageFull(f"{self._folder} has no room: {error}; free some space") from error
            raise Unavailable(f"the cache {self._folder} cannot be used: {error}", reason="CACHE_UNUSABLE") from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _download(uri: str, digest: str, work: Path) -> None:
    filesystem, root = open_filesystem(uri)
    with answering(filesystem, uri, files=False):
        with filesystem.open(f"{root}/{MANIFEST}", "rb") as stream:
            text: bytes = stream.read(_LARGEST_MANIFEST)
        found = "sha256:" + hashlib.sha256(text).hexdigest()
        if found != digest:
            raise BundleRejected(
                f"{uri} holds {found}, not {digest}; the manifest was changed or the wrong bundle copied",
                reason="DIGEST_MISMATCH",
            )
        (work / MANIFEST).write_bytes(text)
        for name in _file_names(text):
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with filesystem.open(f"{root}/{name}", "rb") as source, path.open("wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
                sink.flush()
                os.fsync(sink.fileno())


def _file_names(manifest: bytes) -> list[str]:
    try:
        raw: Any = json.loads(manifest)
        names = [str(name) for name in raw["files"]]
    except (ValueError, TypeError, KeyError) as error:
        raise BundleRejected(f"the manifest cannot be read: {error}", reason="MANIFEST_INVALID") from error
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleRejected(f"the manifest names {name!r}, outside the bundle", reason="MANIFEST_INVALID")
    return names


def _hex(digest: str) -> str:
    name = digest.removeprefix("sha256:")
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise BundleRejected(f"{digest!r} is no sha256 digest", reason="DIGEST_INVALID")
    return name
