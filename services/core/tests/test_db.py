"""The engine: durability, transactions that wait or say why not, migrations that may race."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from packline_core.db import UtcDateTime, alone, create_engine, migrate, read, write
from packline_core.errors import StorageFull, Unavailable

from tests.backends.postgres import PostgresServer, running_postgres

ENV = "import sqlalchemy as sa\nfrom packline_core.db import run_migrations\nrun_migrations(sa.MetaData())\n"
FIRST = """
import sqlalchemy as sa
import time
from alembic import op
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("things", sa.Column("name", sa.String, primary_key=True))
    time.sleep(0.3)
    op.execute("INSERT INTO things VALUES ('first')")
"""
TABLE = "CREATE TABLE t (name TEXT PRIMARY KEY, at TIMESTAMP WITH TIME ZONE)"
LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """SQLite, for what is about SQLite."""
    engine = create_engine(f"sqlite:///{tmp_path / 'sub' / 'test.db'}", busy_timeout=0.5)
    with write(engine) as connection:
        connection.execute(sa.text(TABLE))
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'w.db'}"
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.emptied("core", tables=False)


@pytest.fixture
def either(url: str) -> Iterator[sa.Engine]:
    """A database of both kinds, with the table."""
    engine = create_engine(url, busy_timeout=0.5)
    with write(engine) as connection:
        connection.execute(sa.text(TABLE))
    yield engine
    engine.dispose()


def package(folder: Path) -> None:
    versions = folder / "fruit" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "fruit" / "__init__.py").touch()
    (versions.parent / "env.py").write_text(ENV)
    (versions / "0001_first.py").write_text(FIRST)


def test_sqlite_is_durable_and_checks_foreign_keys(engine: sa.Engine) -> None:
    with read(engine) as connection:
        values = [
            connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert values == ["wal", 2, 1]


def test_write_commits_and_an_error_rolls_back(either: sa.Engine) -> None:
    with write(either) as connection:
        connection.execute(sa.text("INSERT INTO t (name) VALUES ('a')"))
    with pytest.raises(ZeroDivisionError), write(either) as connection:
        connection.execute(sa.text("INSERT INTO t (name) VALUES ('b')"))
        raise ZeroDivisionError
    with read(either) as connection:
        assert connection.execute(sa.text("SELECT name FROM t")).scalars().all() == ["a"]


def test_moments_come_back_in_utc(either: sa.Engine) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("name", sa.String), sa.Column("at", UtcDateTime))
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=9)))
    with write(either) as connection:
        connection.execute(table.insert().values(name="seoul", at=noon))
    with read(either) as connection:
        found = connection.execute(sa.select(table.c.at)).scalar_one()
    assert found == noon and found.tzinfo == UTC


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(either: sa.Engine) -> None:
    count = sa.text("SELECT count(*) FROM t")
    with read(either) as connection:
        assert connection.execute(count).scalar() == 0
        with write(either) as other:
            other.execute(sa.text("INSERT INTO t (name) VALUES ('meanwhile')"))
        assert connection.execute(count).scalar() == 0
    with read(either) as connection:
        assert connection.execute(count).scalar() == 1


def test_writers_that_name_the_same_thing_take_turns(url: str) -> None:
    engine = create_engine(url, busy_timeout=30)
    with write(engine) as connection:
        connection.execute(sa.text("CREATE TABLE counts (value INTEGER)"))
        connection.execute(sa.text("INSERT INTO counts VALUES (0)"))

    def add() -> None:
        for _ in range(20):
            with write(engine) as connection:
                alone(connection, "counts")
                value = connection.execute(sa.text("SELECT value FROM counts")).scalar_one()
                connection.execute(sa.text("UPDATE counts SET value = :value"), {"value": value + 1})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT value FROM counts")).scalar() == 80
    engine.dispose()


def locker(engine: sa.Engine, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(engine.url.database), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    return process


def test_a_lock_held_for_long_is_said_and_reading_goes_on(engine: sa.Engine) -> None:
    with locker(engine, 60) as process:
        try:
            with pytest.raises(Unavailable, match="locked by another process") as caught, write(engine):
                pass
            assert caught.value.reason == "DATABASE_LOCKED"
            with read(engine) as connection:
                assert connection.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0
        finally:
            process.kill()


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'w.db'}", busy_timeout=30)
    with write(engine) as connection:
        connection.execute(sa.text("CREATE TABLE t (name TEXT)"))
    with locker(engine, 0.5), write(engine) as connection:
        connection.execute(sa.text("INSERT INTO t VALUES ('late')"))
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT name FROM t")).scalars().all() == ["late"]


def test_a_full_database_is_said(engine: sa.Engine) -> None:
    with pytest.raises(StorageFull, match="full"), write(engine) as connection:
        connection.execute(sa.text("PRAGMA max_page_count=4"))
        for number in range(100):
            connection.execute(sa.text("INSERT INTO t (name) VALUES (:name)"), {"name": f"{number}" + "x" * 4000})
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0


def test_a_row_of_postgresql_that_is_held_for_long_is_said(postgres: PostgresServer) -> None:
    engine = create_engine(postgres.emptied("core", tables=False), busy_timeout=0.3)
    with write(engine) as connection:
        connection.execute(sa.text(TABLE))
        connection.execute(sa.text("INSERT INTO t (name) VALUES ('held')"))
    change = sa.text("UPDATE t SET at = now()")
    with write(engine) as holder:
        holder.execute(change)
        with pytest.raises(Unavailable, match="locked by another process") as caught, write(engine) as connection:
            connection.execute(change)
    assert caught.value.reason == "DATABASE_LOCKED"
    engine.dispose()


def test_a_postgresql_that_is_away_is_said_and_found_again() -> None:
    with running_postgres() as server:
        engine = create_engine(server.emptied("core"))
        with write(engine) as connection:
            connection.execute(sa.text(TABLE))
        with write(engine) as connection:
            connection.execute(sa.text("INSERT INTO t (name) VALUES ('kept')"))
        with pytest.raises(Unavailable) as caught, write(engine) as connection:
            connection.execute(sa.text("INSERT INTO t (name) VALUES ('lost')"))
            server.stop(signal.SIGQUIT)
        assert caught.value.reason == "DATABASE_UNREACHABLE"
        with pytest.raises(Unavailable, match="cannot be reached"), read(engine):
            pass
        server.start()
        with read(engine) as connection:
            assert connection.execute(sa.text("SELECT name FROM t")).scalars().all() == ["kept"]
        engine.dispose()


def test_processes_that_migrate_at_once_take_turns(url: str, tmp_path: Path) -> None:
    package(tmp_path)
    code = f"from packline_core.db import create_engine, migrate; migrate(create_engine({url!r}), 'fruit')"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    engine = create_engine(url)
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT name FROM things")).scalars().all() == ["first"]
    engine.dispose()


def test_migrating_again_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = create_engine(url)
    migrate(engine, "fruit")
    migrate(engine, "fruit")
    assert sorted(sa.inspect(engine).get_table_names()) == ["fruit_revision", "things"]
    engine.dispose()
