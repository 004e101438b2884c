"""What every command shares: exit codes, words on stderr, the client, output as a table or JSON.

Nothing here imports gRPC or rich before a command needs it, so that `packline --help` is quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from packline_core.config import Settings, load_settings
from packline_core.errors import Code, PacklineError, Unavailable

if TYPE_CHECKING:
    from packline_client import Client


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    INVALID = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    REFUSED = 5
    INTERRUPTED = 130


_EXITS = {
    Code.INVALID_ARGUMENT: Exit.INVALID,
    Code.NOT_FOUND: Exit.NOT_FOUND,
    Code.UNAVAILABLE: Exit.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED: Exit.UNAVAILABLE,
    Code.FAILED_PRECONDITION: Exit.REFUSED,
    Code.ALREADY_EXISTS: Exit.REFUSED,
    Code.ABORTED: Exit.REFUSED,
}


def exit_of(error: PacklineError) -> Exit:
    """The exit code that an error ends a command with."""
    return _EXITS.get(error.code, Exit.FAILED)


class Output(StrEnum):
    """How lists are printed."""

    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print: text or json.")]
NameArgument = Annotated[str, typer.Argument(help="The Pack's name.", show_default=False)]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that one call may take.")]


def say(text: str) -> None:
    """A line for people, on stderr, so that stdout holds results only."""
    typer.echo(text, err=True)


def complain(text: str) -> None:
    """An error in one line on stderr."""
    say(f"error: {text}")


def settings() -> Settings:
    """Settings of the environment that the command runs in."""
    return load_settings()


def address() -> str:
    """Where the platform answers: `PACKLINE_ADDRESS`, or where that of this home really listens."""
    from packline_core.fleet.local_ray import find_ray

    here = settings()
    if "PACKLINE_ADDRESS" in os.environ:
        return here.address
    ray = find_ray(here.home)
    return ray.address if ray else here.address


@contextmanager
def connected(timeout: float = 30.0) -> Iterator[Client]:
    """A client of the platform that the environment names."""
    from packline_client import Client

    where = address()
    with Client(where, timeout=timeout) as client:
        try:
            yield client
        except Unavailable as error:
            if error.reason != "UNREACHABLE":
                raise
            raise Unavailable(
                f"nothing answers at {where}; start Packline with `packline up --detach`, or set PACKLINE_ADDRESS to "
                "where it runs",
                reason=error.reason,
            ) from error


def plain(value: Any) -> Any:
    """Dataclasses, times and enums as JSON knows them; durations are seconds."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False, indent=2))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns, aligned and never cut, so that other programs can read them."""
    lines = [list(header), *[[cell or "-" for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        typer.echo("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def age(since: datetime | None, now: datetime) -> str:
    """How long ago: `5s`, `12m`, `3h`, `4d`."""
    if since is None:
        return ""
    seconds = max(int((now - since).total_seconds()), 0)
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def is_terminal() -> bool:
    """Whether somebody watches stderr, where progress is shown."""
    return sys.stderr.isatty()
