"""The platform of this machine: `up`, `down`, `ui`, `version`."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from packline_core.errors import FailedPrecondition, Unavailable

from packline_client.cli.common import Exit, is_terminal, say, settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is ready; it runs on.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until it must be ready.")] = 240.0,
) -> None:
    """Start Packline on this machine. Its state lies below PACKLINE_HOME (~/.packline) and outlives it."""
    from packline_client.platform import LOG, platform_processes, start_platform

    here = settings()
    if running := platform_processes(here.home):
        address = _wait(here.home, running[0].is_running, timeout)
        typer.echo(f"Packline runs already at {address} (home {here.home})")
        return
    log = here.logs / LOG if detach else None
    child = start_platform(here, log)
    if not detach:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        address = _wait(here.home, lambda: child.poll() is None, timeout)
    except Unavailable as error:
        raise Unavailable(error.message + _last_words(log), reason=error.reason) from None
    typer.echo(f"Packline is ready at {address} (home {here.home})")
    say("Next: packline apply -f pack.yaml --wait, then packline get packs. Stop it with packline down.")
    if not detach:
        raise typer.Exit(_stay(child))


def _wait(home: Path, alive: Callable[[], bool], timeout: float) -> str:
    from rich.console import Console

    from packline_client.platform import wait_until_ready

    with Console(stderr=True, quiet=not is_terminal()).status("starting Packline") as line:
        return wait_until_ready(
            home, alive, lambda words: line.update(f"starting Packline: waiting for {words}"), timeout
        )


def _stay(child: subprocess.Popen[bytes]) -> int:
    """Stays until the platform ends; Ctrl-C reaches it too, and it then ends in its own time."""
    while True:
        try:
            code = child.wait()
            return Exit.FAILED if code > 0 else Exit.OK
        except KeyboardInterrupt:
            say("stopping; this takes a few seconds")


def _last_words(log: Path | None) -> str:
    if log is None or not log.exists():
        return ""
    lines = log.read_text("utf8", errors="replace").strip().splitlines()[-5:]
    return f". The end of {log}:\n  " + "\n  ".join(lines) if lines else ""


def down(
    timeout: Annotated[float, typer.Option(min=1, help="Seconds until processes are killed.")] = 60.0,
) -> None:
    """Stop Packline on this machine. What it knows and has learned stays."""
    from packline_client.platform import stop_platform

    here = settings()
    count = stop_platform(here.home, timeout)
    typer.echo(
        f"Packline stopped: {count} processes ended" if count else f"Packline was not running (home {here.home})"
    )


def ui(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port on this machine.")] = 5000,
) -> None:
    """Show runs and their metrics in MLflow's pages."""
    import importlib.util
    import os
    import subprocess

    here = settings()
    database = here.home / "mlflow.db"
    if importlib.util.find_spec("mlflow") is None:
        raise FailedPrecondition("MLflow is not installed; install packline-training[ui]", reason="NO_MLFLOW")
    if not database.exists():
        raise FailedPrecondition(
            f"there is nothing to show yet below {here.home}; train first: packline train NAME --wait", reason="NO_RUNS"
        )
    say(f"Open http://127.0.0.1:{port} in a browser; leave with Ctrl-C")
    address = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Without a root for artifacts MLflow makes a folder for them wherever the user stands.
    root = ["--default-artifact-root", f"file://{here.home / 'mlflow-artifacts'}"]
    store = ["--backend-store-uri", f"sqlite:///{database}"]
    command = [sys.executable, "-m", "mlflow", "server", *store, *root, *address]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    # MLflow starts processes of its own, and leaves them where it alone is told to end.
    child = subprocess.Popen(command, env={**os.environ, **quiet}, start_new_session=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code: int = Exit.OK
    try:
        code = child.wait()
    except KeyboardInterrupt:
        say("stopping")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()
    raise typer.Exit(code)


def version() -> None:
    """Print the version of Packline and of its parts."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of
    from platform import python_version

    typer.echo(f"packline {of('packline-client')}")
    for name in ("ray", "onnxruntime", "grpcio"):
        try:
            say(f"{name} {of(name)}")
        except PackageNotFoundError:
            say(f"{name} not installed")
    say(f"python {python_version()}")
