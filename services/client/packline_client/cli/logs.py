"""`packline logs`: what happened to Packs, and what the processes wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from packline_core.errors import NotFound

from packline_client.cli.common import say, settings

if TYPE_CHECKING:
    from packline_core.packs import PackFiles


def logs(
    name: Annotated[str, typer.Argument(help="One Pack's events; everything where left out.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more comes.")] = False,
    tail: Annotated[int, typer.Option("--tail", "-n", min=0, help="Newest lines of each to begin with.")] = 50,
) -> None:
    """Show what happened, and what processes wrote."""
    from packline_core.packs import PackFiles

    here = settings()
    files = PackFiles(here.packs)
    if name:
        files.get(name)
    sources: list[_Events | _Lines] = [_Events(files, name), *([] if name else [_Lines(here.logs)])]
    shown = False
    for source in sources:
        for line in source.new(tail):
            shown = True
            typer.echo(line)
    if not shown and not follow:
        say(f"nothing has happened yet below {here.home}")
    while follow:
        time.sleep(0.5)
        for source in sources:
            for line in source.new(None):
                typer.echo(line)


class _Events:
    """Events of one Pack or of all, those that were not given before."""

    def __init__(self, files: PackFiles, name: str) -> None:
        self._files = files
        self._name = name
        self._given: set[str] = set()

    def new(self, tail: int | None) -> Iterator[str]:
        """Lines that came since the last call; at most the `tail` newest of each Pack."""
        for name in [self._name] if self._name else [*self._files.scan().packs]:
            try:
                events = self._files.read_events(name)
            except NotFound:
                continue
            # The list is bounded, so what was given is known by itself and not by its place.
            fresh = [event for event in events if self._is_new(name, event)]
            for event in fresh if tail is None else fresh[-tail:] if tail else []:
                mark = "warning: " if event.get("type") == "Warning" else ""
                yield f"{event.get('at', '')}  {name}  {event.get('reason', '')}  {mark}{event.get('message', '')}"

    def _is_new(self, name: str, event: dict[str, Any]) -> bool:
        # A loop that was killed may have told the same thing twice, under the same key.
        key = f"{name} {event.get('key') or event}"
        known = key in self._given
        self._given.add(key)
        return not known


class _Lines:
    """Lines of the log files in a folder, those that were not given before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def new(self, tail: int | None) -> Iterator[str]:
        """Lines that came since the last call; at most the `tail` newest of each file."""
        for path in sorted(self._folder.glob("*.log")):
            size = path.stat().st_size
            start = self._read.get(path, 0)
            if size < start:  # it was begun anew
                start = 0
            with path.open("rb") as stream:
                stream.seek(start)
                data = stream.read(size - start)
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = start + len(whole)
            lines = whole.decode("utf8", errors="replace").splitlines()
            for line in lines if tail is None else lines[-tail:] if tail else []:
                yield f"{path.stem}  {line}"
