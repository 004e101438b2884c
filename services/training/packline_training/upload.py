"""Files that arrive in pieces: written below one folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from packline_core.errors import InvalidInput
from packline_core.filesystem import storage_error


class Upload:
    """Takes the pieces of files in order, a file at a time.

    Args:
        folder: An empty folder of this upload's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = ""
        self._stream: IO[bytes] | None = None
        self.files = 0

    def write(self, path: str, chunk: bytes) -> None:
        """Takes one piece.

        Raises:
            InvalidInput: The path is absolute, leads outside, or came before.
            StorageFull: The disk took no more.
        """
        try:
            if path != self._path:
                self._next(path)
            if self._stream is not None:
                self._stream.write(chunk)
        except OSError as error:
            raise storage_error(error, str(self._folder)) from error

    def close(self) -> None:
        """Ends the file under way."""
        if self._stream is not None:
            try:
                self._stream.close()
            except OSError as error:
                raise storage_error(error, str(self._folder)) from error
            self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, path: str) -> None:
        self.close()
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in path or "\0" in path:
            raise InvalidInput(f"{path!r} is no relative path with forward slashes", field="file.path")
        target = self._folder.joinpath(*parts)
        if target.exists():
            raise InvalidInput(f"{path} came twice; send each file's pieces one after the other", field="file.path")
        target.parent.mkdir(parents=True, exist_ok=True)
        self._stream, self._path = target.open("xb"), path
        self.files += 1
