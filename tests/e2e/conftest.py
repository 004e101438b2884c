"""A whole platform of its own, started and stopped by the command that users type."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packline_core.fleet.local_ray import find_ray

PACK = "delivery-notes"
EXAMPLE = Path(__file__).parents[2] / "examples" / "ocr"


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass
class Platform:
    """A home, and the `packline` command on it."""

    home: Path
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PACKLINE_")}
        shared = {name: os.environ[name] for name in ("PACKLINE_SHARED_DATA",) if name in os.environ}
        self.environment = {**inherited, **shared, "PACKLINE_HOME": str(self.home)}

    def __call__(self, *arguments: object, stdin: str = "", timeout: float = 280) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "packline_client", *map(str, arguments)],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def must(self, *arguments: object, **options: object) -> str:
        """Runs a command that is to succeed; gives its stdout."""
        ran = self(*arguments, **options)  # type: ignore[arg-type]
        assert ran.code == 0, f"packline {' '.join(map(str, arguments))}: exit {ran.code}\n{ran.out}\n{ran.err}"
        return ran.out


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """Short, since sockets lie below it."""
    path = Path(tempfile.mkdtemp(prefix="pk-")).resolve()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def platform(home: Path) -> Iterator[Platform]:
    """A platform that is up, one for all tests here since it takes long; stopped at the end, come what may."""
    made = Platform(home)
    try:
        made.must("up", "--detach")
        yield made
    finally:
        made("down")


@pytest.fixture(scope="session")
def applied(platform: Platform) -> Platform:
    """The platform with the example's Pack ready."""
    out = platform.must("apply", "-f", EXAMPLE / "pack.yaml", "--wait")
    assert out.splitlines() == [f"pack {PACK} created", f"pack {PACK} ready"]
    return platform


@pytest.fixture
def address(applied: Platform) -> str:
    """Of the platform's gRPC ingress."""
    ray = find_ray(applied.home)
    assert ray is not None
    return ray.address
