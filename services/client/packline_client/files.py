"""Files as streams of pieces: what uploads and imports send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packline_core.errors import InvalidInput, NotFound

PIECE = 1 << 20


def pieces(data: bytes | Path) -> Iterator[bytes]:
    """Bytes or a file in pieces of at most 1 MiB; one empty piece where there is nothing."""
    if isinstance(data, bytes):
        for start in range(0, max(len(data), 1), PIECE):
            yield data[start : start + PIECE]
        return
    with data.open("rb") as stream:
        yield stream.read(PIECE)
        while piece := stream.read(PIECE):
            yield piece


def read_bytes(source: bytes | Path) -> bytes:
    """A document's bytes, given as such or as a path."""
    if isinstance(source, bytes):
        return source
    try:
        return checked_file(source).read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{source} cannot be read: {error.strerror}", reason="FILE_UNREADABLE", field="path"
        ) from None


def checked_file(path: Path) -> Path:
    """The path of a file that is there; raises `NotFound` or `InvalidInput`."""
    if not path.exists():
        raise NotFound(f"{path}: there is no such file; check the path", reason="FILE_NOT_FOUND", path=str(path))
    if not path.is_file():
        raise InvalidInput(f"{path} is a folder, not a file; name the file to read", reason="NOT_A_FILE", field="path")
    return path


def checked_source(path: Path) -> Path:
    """The path of a file or folder that is there; raises `NotFound`."""
    if not path.exists():
        raise NotFound(f"{path}: there is no such file or folder; check the path", reason="FILE_NOT_FOUND")
    return path


def folder_files(source: Path) -> list[tuple[str, Path]]:
    """All files of a folder (or the one file) with their names relative to it, in order; hidden ones are left out.

    Raises:
        NotFound: There is nothing at the path.
        InvalidInput: The folder holds no file.
    """
    if checked_source(source).is_file():
        return [(source.name, source)]
    found = sorted((path.relative_to(source), path) for path in source.rglob("*") if path.is_file())
    files = [(name.as_posix(), path) for name, path in found if not any(part.startswith(".") for part in name.parts)]
    if not files:
        raise InvalidInput(f"{source} holds no files; name the folder with your data", reason="EMPTY_FOLDER")
    return files
