"""Packs as declared things: `apply`, `get`, `describe`, `delete`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from packline_core.errors import FailedPrecondition, InvalidInput, NotFound, PacklineError, Unavailable

from packline_client.cli.common import (
    Exit,
    Output,
    OutputOption,
    age,
    complain,
    is_terminal,
    print_json,
    print_table,
    say,
    settings,
)

if TYPE_CHECKING:
    from packline_core.manifest import Pack
    from packline_core.packs import PackFiles

    from packline_client.describe import Registry


class Kind(StrEnum):
    """What the commands work on."""

    PACK = "pack"
    PACKS = "packs"


_HOPELESS_SECONDS = 20.0

KindArgument = Annotated[Kind, typer.Argument(help="pack", show_default=False)]
WaitOption = Annotated[bool, typer.Option("--wait", "-w", help="Return only when it is done.")]
PatienceOption = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait at most.")]
FileOption = Annotated[
    Path | None, typer.Option("--file", "-f", help="Manifests in YAML; - reads stdin.", show_default=False)
]


def apply(file: FileOption = None, wait: WaitOption = False, timeout: PatienceOption = 300.0) -> None:
    """Make Packs be as their manifests say. Nothing is applied where one of the file's manifests is wrong."""
    if file is None:
        raise InvalidInput("name the manifest: packline apply -f pack.yaml", field="file")
    packs, files = _manifests(file), _files()
    done = [files.apply(pack) for pack in packs]
    for applied in done:
        typer.echo(f"pack {applied.stored.pack.name} {applied.change}")
    if wait:
        for applied in done:
            name, generation = applied.stored.pack.name, applied.stored.generation
            _wait(lambda name=name, generation=generation: _ready(files, name, generation), f"Pack {name}", timeout)  # type: ignore[misc]
            typer.echo(f"pack {name} ready")
    elif not _is_running():
        say("Packline is not running; start it with: packline up --detach")


def get(
    kind: KindArgument,
    name: Annotated[str, typer.Argument(help="One Pack only.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """List Packs and how they are."""
    from packline_client.packview import view_packs

    views = view_packs(_files())
    if name:
        views = [view for view in views if view.name == name]
        if not views:
            raise NotFound(f"there is no Pack {name}; see: packline get {kind}")
    if output is Output.JSON:
        print_json(views)
        return
    if not views:
        say("there are no Packs; add one with: packline apply -f pack.yaml")
        return
    now = datetime.now(UTC)
    print_table(
        ("NAME", "TASK", "READY", "PHASE", "ACTIVE", "CANDIDATE", "TRAFFIC", "AGE", "WHY"),
        [
            (v.name, v.task, v.ready, v.phase, v.active, v.candidate, v.shares, age(v.created_at, now), v.why)
            for v in views
        ],
    )


def describe(
    kind: KindArgument,
    name: Annotated[str, typer.Argument(help="The Pack's name.", show_default=False)],
    output: OutputOption = Output.TEXT,
) -> None:
    """Tell in sentences how a Pack stands.

    What answers, what is in rollout, why, and what comes next.
    """
    from packline_client.describe import sentences
    from packline_client.packview import view_pack

    files = _files()
    view = view_pack(files.get(name), files.read_status(name))
    registry = _registry(name)
    if output is Output.JSON:
        print_json({"pack": view, "registry": registry, "events": files.read_events(name)})
        return
    for line in sentences(view, registry, files.read_events(name), datetime.now(UTC)):
        typer.echo(line)
    if registry is None:
        say("Packline is not running, so this is what was last known; start it with: packline up --detach")


def delete(
    kind: Annotated[Kind | None, typer.Argument(help="pack", show_default=False)] = None,
    name: Annotated[str, typer.Argument(help="The Pack's name.")] = "",
    file: FileOption = None,
    wait: WaitOption = False,
    timeout: PatienceOption = 120.0,
) -> None:
    """Delete Packs, with their data, versions and history."""
    if bool(file) == bool(name):
        raise InvalidInput(
            "say what to delete: packline delete pack NAME, or packline delete -f pack.yaml", field="name"
        )
    files = _files()
    names = [pack.name for pack in _manifests(file)] if file else [name]
    missing = False
    for each in names:
        try:
            files.delete(each)
            typer.echo(f"pack {each} deleted")
        except NotFound as error:
            missing = True
            complain(error.message)
    if wait:
        for each in names:
            _wait(lambda each=each: _gone(files, each), f"the end of Pack {each}", timeout)  # type: ignore[misc]
    if missing:
        raise typer.Exit(Exit.NOT_FOUND)


def _files() -> PackFiles:
    from packline_core.packs import PackFiles

    return PackFiles(settings().packs)


def _manifests(file: Path) -> list[Pack]:
    from packline_core.manifest import parse_packs

    try:
        return parse_packs(sys.stdin.read() if str(file) == "-" else file.read_text("utf8"))
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is no text file", reason="NOT_YAML", field="file") from None
    except PacklineError as error:
        # Whatever is wrong, such as a task that is not installed, is wrong with the file.
        raise InvalidInput(f"{file}: {error.message}", reason=error.reason, field=getattr(error, "field", "")) from None


def _registry(name: str) -> Registry | None:
    """The registry's view of a Pack; None where the platform does not run or does not know it yet."""
    from packline_client.cli.common import connected
    from packline_client.describe import Registry

    with connected(10) as client:
        try:
            training = client.training
            return Registry(
                training.pack(name).state,
                training.versions(name, 20),
                training.runs(name, 5),
                training.decisions(name, 5),
                client.monitoring.compare(name).versions,
            )
        except (Unavailable, NotFound):
            return None


def _is_running() -> bool:
    from packline_core.fleet.local_ray import find_ray

    return find_ray(settings().home) is not None


def _ready(files: PackFiles, name: str, generation: int) -> tuple[bool, str]:
    """Whether the loop has taken this generation in and the Pack answers; and what it says."""
    from packline_client.packview import view_pack

    view = view_pack(files.get(name), files.read_status(name))
    if view.observed_generation < generation:
        return False, "waits to be taken in"
    if view.failed:
        raise FailedPrecondition(f"Pack {name} does not get ready: {view.why}", reason=view.reason)
    return view.ready == "True", view.why


def _gone(files: PackFiles, name: str) -> tuple[bool, str]:
    try:
        files.get(name)
    except NotFound:
        return True, ""
    return False, "is being torn down"


def _wait(look: Callable[[], tuple[bool, str]], what: str, timeout: float) -> None:
    """Waits until `look` says so, showing what it says while somebody watches."""
    from rich.console import Console

    if not _is_running():
        raise Unavailable("Packline is not running, so nothing happens; start it with: packline up --detach")
    deadline = time.monotonic() + timeout
    hopeless_since = None
    console = Console(stderr=True, quiet=not is_terminal())
    with console.status(f"waiting for {what}") as line:
        while True:
            try:
                done, words = look()
                hopeless_since = None
            except FailedPrecondition as error:
                # What an earlier manifest brought about may still be seen for a moment.
                hopeless_since = hopeless_since or time.monotonic()
                if time.monotonic() - hopeless_since > _HOPELESS_SECONDS:
                    raise
                done, words = False, error.message
            if done:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"{what}: not within {timeout:.0f} seconds ({words}); see: packline logs")
            line.update(f"waiting for {what}: {words}")
            time.sleep(0.25)
