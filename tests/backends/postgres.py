"""A PostgreSQL of one's own: Debian's server in a temporary folder, reached through a socket in it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.gotools import lacking

_USER = "packline"
_LONELY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
# What migrations have made stays, with the tables that say so: making it anew for each test would take much longer.
_EMPTY = r"""
DO $$ DECLARE names text; BEGIN
  SELECT string_agg(quote_ident(tablename), ',') INTO names
    FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%\_revision';
  IF names IS NOT NULL THEN EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY CASCADE'; END IF;
END $$
"""


@dataclass
class PostgresServer:
    """A server that runs until it is stopped.

    Attributes:
        folder: Holds its data and its socket.
        programs: Where Debian keeps `postgres` and `initdb`.
    """

    folder: Path
    programs: Path
    _process: subprocess.Popen[bytes] | None = None
    _made: set[str] = field(default_factory=set)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.folder}"

    def emptied(self, name: str, *, tables: bool = True) -> str:
        """URL of the database of that name: nothing in its tables, or no tables, and nobody connected to it."""
        if name not in self._made:
            self._execute("postgres", f"CREATE DATABASE {name}")
            self._made.add(name)
        self._execute(name, _LONELY)
        self._execute(name, _EMPTY if tables else "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self.url(name)

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        # It may crash, and recovers; that the machine does is not what tests are about.
        quick = ("fsync=off", "full_page_writes=off")
        # Moments are UTC whatever the server's zone is, which is seldom UTC where factories are.
        settings = (*quick, "listen_addresses=", "timezone=Asia/Seoul")
        options = [part for setting in settings for part in ("-c", setting)]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(_as_nobody(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(600):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            if subprocess.run([self.programs / "pg_isready", "-q", "-h", self.folder], check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops it: SIGINT ends sessions and cleans up, SIGQUIT is a crash that it recovers from."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def _execute(self, database: str, statement: str) -> None:
        with psycopg.connect(host=str(self.folder), user=_USER, dbname=database, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Starts a server, and removes all of it afterwards."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="packline-pg-"))
    try:
        if os.getuid() == 0:
            user = _user()
            os.chown(folder, user.pw_uid, user.pw_gid)
        command = [programs / "initdb", "-D", folder / "data", "-U", _USER, "-A", "trust", "-E", "UTF8", "-N"]
        command += ["--locale=C.UTF-8"]
        subprocess.run(_as_nobody([str(part) for part in command]), check=True, stdout=subprocess.DEVNULL)
        server = PostgresServer(folder, programs)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    lacking("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    raise AssertionError


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_nobody(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root. It also ends when the tests do, however they end."""
    user = ["--reuid", _user().pw_name, "--regid", str(_user().pw_gid), "--clear-groups"] if os.getuid() == 0 else []
    return ["setpriv", *user, "--pdeathsig", "QUIT", *command]
