"""Where an installation keeps its tables and objects: SQLite and a folder, or PostgreSQL and S3, for any test.

A test that uses `backend` runs on both. On the second it is slow (make test-full), unless it is marked `backends`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.backends.objects import ObjectServer, running_object_server
from tests.backends.postgres import PostgresServer, running_postgres

EMBEDDED, OUTGROWN = "sqlite-folder", "postgresql-s3"
BACKENDS = (EMBEDDED, OUTGROWN)


@dataclass(frozen=True)
class Backend:
    """Where one test's installation keeps what it has.

    Attributes:
        name: `sqlite-folder` or `postgresql-s3`.
        database: SQLAlchemy URL of an empty database.
        store: fsspec URL of an empty store.
        objects: The folder where the store's objects lie as files, on a disk here in both cases.
    """

    name: str
    database: str
    store: str
    objects: Path


def embedded(folder: Path) -> Backend:
    """SQLite and a store in a folder."""
    return Backend(EMBEDDED, f"sqlite:///{folder / 'tables.db'}", f"file://{folder / 'store'}", folder / "store")


@contextmanager
def open_backend(request: pytest.FixtureRequest, name: str, folder: Path) -> Iterator[Backend]:
    """A backend for a fixture of any scope.

    Args:
        request: Whose servers are started where they are needed and do not run yet.
        name: One of `BACKENDS`.
        folder: For SQLite's file and the store.
    """
    if name == EMBEDDED:
        yield embedded(folder)
        return
    postgres: PostgresServer = request.getfixturevalue("postgres")
    server: ObjectServer = request.getfixturevalue("object_server")
    with server.bucket() as (url, objects):
        database = postgres.emptied(f"packline_{request.scope}")
        yield Backend(name, database, f"{url}/installation", objects / "installation")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """One of both for each test."""
    with open_backend(request, request.param, tmp_path) as backend:
        yield backend


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the session; skips where Debian's server is not installed, fails in CI."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """An S3 server for the session, which every client finds by the environment; skips where it cannot be built."""
    with running_object_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as slow what runs on PostgreSQL and S3, unless it is marked `backends`."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec and OUTGROWN in callspec.params.values() and not item.get_closest_marker("backends"):
            item.add_marker(pytest.mark.slow)
