"""Objects: bundles, data and payloads below one fsspec URL, a folder or S3, named by their content.

Nothing is ever seen half written: on a disk a file or folder is written beside its place and renamed into it; on an
object store an object appears whole, and a folder counts as there when its last file is; that file goes first when the
folder is removed.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from packline_core.bundle import MANIFEST, bytes_digest, file_sha256
from packline_core.errors import NotFound
from packline_core.filesystem import abort_uploads, answering, is_local, open_filesystem, storage_error

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_TEMPORARY = ".writing-"


def object_name(area: str, digest: str) -> str:
    """Where an object of that digest (`sha256:…`) lies within its area: `payloads/ab/ab12…`."""
    value = digest.removeprefix("sha256:")
    return f"{area}/{value[:2]}/{value}"


class ObjectStore:
    """Objects below one URL.

    Args:
        url: fsspec URL, `file:///path` or `s3://bucket/prefix`; a plain path is a folder.
        options: What the file system is opened with, such as an endpoint.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        self._fs, self._root = open_filesystem(url, options)
        self._url = url.rstrip("/")
        self._local = is_local(self._fs)

    def uri(self, name: str) -> str:
        """The fsspec URL of an object or folder."""
        return f"{self._url}/{name}"

    def put_bytes(self, area: str, data: bytes) -> str:
        """Keeps some bytes and returns their name; the same bytes are kept once.

        Raises:
            StorageFull: Nothing was half written.
        """
        name = object_name(area, bytes_digest(data))
        if not self.exists(name):
            with self._placed(name) as target:
                self._fs.pipe_file(target, data)
        return name

    def put_file(self, area: str, path: Path) -> str:
        """Keeps a file and returns its name. Raises `StorageFull`."""
        name = object_name(area, file_sha256(path))
        if not self.exists(name):
            with self._placed(name) as target:
                self._fs.put_file(str(path), target)
        return name

    def put_folder(self, area: str, folder: Path, digest: str, *, last: str = MANIFEST) -> str:
        """Keeps a folder under its digest and returns its name.

        Args:
            area: First part of the name.
            folder: What is copied.
            digest: `sha256:…`, the folder's identity: a bundle's digest.
            last: File that says the folder is whole; `exists` of `name/last` answers whether it is there.

        Raises:
            StorageFull: Nothing was half written.
        """
        name = object_name(area, digest)
        if self.exists(f"{name}/{last}"):
            return name
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        paths.sort(key=lambda path: path == folder / last)
        with self._placed(name) as target:
            for path in paths:
                place = f"{target}/{path.relative_to(folder).as_posix()}"
                if self._local:
                    Path(place).parent.mkdir(parents=True, exist_ok=True)
                # Whole files alone: a stream that breaks off would leave an object that looks complete.
                self._fs.put_file(str(path), place)
        return name

    def exists(self, name: str) -> bool:
        """Whether an object or folder of that name is there. Raises `Unavailable`, as every method does where an
        object store elsewhere does not answer.
        """
        with answering(self._fs, self._url):
            return bool(self._fs.exists(self._path(name)))

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """An object as a stream. Raises `NotFound`."""
        try:
            with answering(self._fs, self._url):
                stream = self._fs.open(self._path(name), "rb")
        except FileNotFoundError:
            raise self._missing(name) from None
        with answering(self._fs, self._url, files=False), stream:
            yield stream

    def get(self, name: str) -> bytes:
        """An object, whole. Raises `NotFound`."""
        with self.open(name) as stream:
            return stream.read()

    def get_folder(self, name: str, target: Path) -> None:
        """Copies a folder into `target`, which appears whole or not at all. Raises `NotFound`, `StorageFull`."""
        paths = self._below(self._path(name))
        if not paths:
            raise self._missing(name)
        temporary = target.with_name(f"{_TEMPORARY}{uuid4().hex}")
        try:
            for path in paths:
                place = temporary / path
                place.parent.mkdir(parents=True, exist_ok=True)
                with self.open(f"{name}/{path}") as source, place.open("wb") as stream:
                    shutil.copyfileobj(source, stream, _CHUNK)
            _rename_folder(temporary, target)
        except OSError as error:
            raise storage_error(error, str(target)) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def delete(self, name: str) -> None:
        """Removes an object or a folder; one that is not there is no error."""
        path = self._path(name)
        if self._local and Path(path).is_dir():
            going = Path(path).with_name(f"{_TEMPORARY}{uuid4().hex}")
            with suppress(FileNotFoundError):  # whoever removes it at the same time is welcome to
                Path(path).rename(going)
            shutil.rmtree(going, ignore_errors=True)
            return
        with answering(self._fs, self._url):
            for found in sorted(self._find(path), key=lambda found: not found.endswith(f"/{MANIFEST}")):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(found)

    def remove_unfinished(self, area: str, before: datetime) -> int:
        """Removes what a killed process left half written and nobody has touched since `before`; returns how many."""
        if not self._local:
            with answering(self._fs, self._url):
                return abort_uploads(self._fs, self._path(area), before)
        count = 0
        for path in list(Path(self._path(area)).rglob(f"{_TEMPORARY}*")):
            try:
                if path.stat().st_mtime >= before.timestamp():
                    continue
            except FileNotFoundError:  # its writer has just finished
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            count += 1
        return count

    def names(self, area: str) -> Iterator[str]:
        """The names of all objects of an area, files of folders included."""
        for path in self._below(self._path(area)):
            if _TEMPORARY not in path:
                yield f"{area}/{path}"

    def _path(self, name: str) -> str:
        if ".." in name.split("/") or name.startswith("/"):
            raise NotFound(f"{name!r} is no name of an object", reason="OBJECT_NOT_FOUND")
        return f"{self._root.rstrip('/')}/{name}"

    def _find(self, root: str) -> list[str]:
        with answering(self._fs, self._url):
            return [str(path) for path in self._fs.find(root)]

    def _below(self, root: str) -> list[str]:
        """Paths of files within a folder; an object named as the folder itself is some tool's mark of it."""
        return [path[len(root) + 1 :] for path in self._find(root) if path.rstrip("/") != root]

    def _missing(self, name: str) -> NotFound:
        return NotFound(f"{self.uri(name)} is not in the store", reason="OBJECT_NOT_FOUND", object=name)

    @contextmanager
    def _placed(self, name: str) -> Iterator[str]:
        final = self._path(name)
        if not self._local:
            with answering(self._fs, self._url, writing=True):
                yield final
            return
        parent = Path(final).parent
        temporary = parent / f"{_TEMPORARY}{uuid4().hex}"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            yield str(temporary)
            _flush(temporary)
            if temporary.is_dir():
                _rename_folder(temporary, Path(final))
            else:
                temporary.replace(final)
            _flush_entry(parent)
        except OSError as error:
            raise storage_error(error, self._url) from error
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def _rename_folder(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        # Somebody else put the same content there first.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _flush(path: Path) -> None:
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _flush_entry(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
