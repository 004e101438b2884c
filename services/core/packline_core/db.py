"""Tables: an SQLAlchemy engine for SQLite or PostgreSQL by URL, its transactions, and migrations that lie in a package.

SQLite is set up for many processes and for durability: WAL, a busy timeout, foreign keys, `synchronous=FULL`. Writers
start with BEGIN IMMEDIATE, since a transaction that reads first and then writes cannot wait for a lock in WAL mode.
"""

from __future__ import annotations

import fcntl
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic import context as alembic_context
from alembic.config import Config
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from packline_core.errors import PacklineError, StorageFull, Unavailable

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = 10.0


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment, stored in UTC and read back aware of it, on every database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC; raises ValueError for a datetime without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """With UTC as its zone, also where the database keeps none."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def create_engine(url: str, *, busy_timeout: float = BUSY_TIMEOUT) -> Engine:
    """Opens a database; for SQLite the folder of its file is made.

    Args:
        url: SQLAlchemy URL, `sqlite:////path/to/file.db` or `postgresql+psycopg://…`.
        busy_timeout: Seconds to wait for a lock that another process holds, before `write` gives up.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(
            parsed, pool_pre_ping=True, connect_args={"options": f"-c lock_timeout={busy_timeout}s"}
        )
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": busy_timeout, "check_same_thread": False})

    def on_connect(connection: Any, record: ConnectionPoolEntry) -> None:
        # pysqlite's own BEGIN comes late and is always deferred; `_on_begin` sends ours.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("packline_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    sa.event.listen(engine, "connect", on_connect)
    sa.event.listen(engine, "begin", on_begin)
    return engine


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database and changes nothing."""
    # In SQLite's WAL mode that is so anyway; PostgreSQL would give each statement a state of its own.
    snapshot = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with _in_words(engine), engine.connect() as connection:
        connection.execution_options(**snapshot)
        with connection.begin() as transaction:
            yield connection
            transaction.rollback()


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits when its block ends, and rolls back when it raises.

    Raises:
        Unavailable: Another process held the lock for longer than the engine's busy timeout, or the database is away;
            nothing was written.
        StorageFull: The disk took no more; nothing was written.
    """
    with _in_words(engine), engine.connect() as connection:
        connection.execution_options(packline_write=True)
        with connection.begin():
            yield connection


def alone(connection: Connection, what: str) -> None:
    """Waits until no other transaction of that name is under way; SQLite's writers take turns anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(what.encode()))))


def migrate(engine: Engine, package: str) -> None:
    """Brings the tables to the newest migration of `package` (its folder `migrations`). Processes that start at the
    same time take turns, and the later ones find nothing to do.
    """
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    with _one_migrates(engine), write(engine) as connection:
        alone(connection, "migrate")
        # Two services may share a database: each has its own table of revisions.
        config.attributes.update(connection=connection, version_table=f"{package}_revision")
        command.upgrade(config, "head")


def run_migrations(metadata: sa.MetaData) -> None:
    """What a package's `migrations/env.py` calls: runs within the connection that `migrate` gave."""
    alembic_context.configure(
        **alembic_context.config.attributes, target_metadata=metadata, render_as_batch=True, transactional_ddl=False
    )
    alembic_context.run_migrations()


@contextmanager
def _one_migrates(engine: Engine) -> Iterator[None]:
    database = engine.url.database if engine.dialect.name == "sqlite" else None
    with Path(f"{database}.migrate").open("a") if database else nullcontext() as lock:
        if lock is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _in_words(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        translated = _translated(error, engine.url.render_as_string(hide_password=True))
        if translated is None:
            raise
        logger.warning("%s", translated.message)
        raise translated from error


# SQLite tells its errors by words alone; PostgreSQL's words are in its administrator's language, its codes are not.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCKED = {"55P03", "40P01"}
_FULL = {"53100"}
_AWAY = {"53300", "57P01", "57P02", "57P03"}


def _translated(error: DBAPIError, where: str) -> PacklineError | None:
    words, code = str(error.orig).lower(), getattr(error.orig, "sqlstate", "")
    if "database is locked" in words or code in _LOCKED:
        return Unavailable(
            f"the database {where} is locked by another process; nothing was written, try again",
            reason="DATABASE_LOCKED",
        )
    if "disk is full" in words or code in _FULL:
        return StorageFull(
            f"the disk of the database {where} is full; nothing was written. Free space and try again",
            reason="DATABASE_FULL",
        )
    # A connection that was never made, or that broke, has no code.
    away = code in _AWAY or (code is None and isinstance(error, OperationalError))
    if away or error.connection_invalidated or "unable to open" in words:
        return Unavailable(f"the database {where} cannot be reached: {error.orig}", reason="DATABASE_UNREACHABLE")
    return None
