"""The writer: neighbours are apart, and what cannot be written says so."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
import sqlalchemy as sa
from packline_core import db
from packline_core.errors import AlreadyExists, Overloaded, Unavailable
from packline_monitoring.tables import open_database, packs
from packline_monitoring.writer import Writer
from sqlalchemy.engine import Connection

from services.monitoring.tests.harness import holding
from tests.backends.fixtures import Backend

pytestmark = pytest.mark.backends


@pytest.fixture
def engine(backend: Backend) -> Iterator[sa.Engine]:
    engine = open_database(backend.database)
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: sa.Engine) -> Iterator[Writer]:
    writer = Writer(engine, 100)
    yield writer
    writer.close()


def names(engine: sa.Engine) -> list[str]:
    with db.read(engine) as connection:
        return list(connection.scalars(sa.select(packs.c.name).order_by(packs.c.name)))


def put(connection: Connection, name: str, error: Exception | None = None) -> str:
    connection.execute(sa.insert(packs).values(name=name))
    if error:
        raise error
    return name


async def test_a_refused_job_is_undone_and_its_neighbours_are_not(engine: sa.Engine, writer: Writer) -> None:
    with holding(engine):
        given = (("a", None), ("b", AlreadyExists("b is taken")), ("c", None))
        jobs = [asyncio.ensure_future(writer.write(partial(put, name=name, error=error))) for name, error in given]
        await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert (outcomes[0], outcomes[2], names(engine)) == ("a", "c", ["a", "c"])
    assert isinstance(outcomes[1], AlreadyExists)


async def test_a_job_that_breaks_the_transaction_fails_alone(engine: sa.Engine, writer: Writer) -> None:
    with holding(engine):
        jobs = [asyncio.ensure_future(writer.write(partial(put, name=name))) for name in ("a", "b", "b", "c")]
        await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ["a", "b", "c"]
    assert isinstance(outcomes[2], sa.exc.IntegrityError)
    assert names(engine) == ["a", "b", "c"]


async def test_a_database_held_too_long_is_said_so_and_the_next_write_works(
    engine: sa.Engine, backend: Backend
) -> None:
    impatient = open_database(backend.database, busy_timeout=0.3)
    writer = Writer(impatient, 100)
    with holding(engine):
        with pytest.raises(Unavailable) as refused:
            await writer.write(lambda c: put(c, "a"))
        assert refused.value.reason == "DATABASE_LOCKED"
    await writer.write(lambda c: put(c, "b"))
    assert names(engine) == ["b"]
    writer.close()
    impatient.dispose()


async def test_a_call_that_went_away_is_not_written(engine: sa.Engine, writer: Writer) -> None:
    with holding(engine):
        first = asyncio.ensure_future(writer.write(lambda c: put(c, "first")))
        await asyncio.sleep(0.05)
        waiting = asyncio.ensure_future(writer.write(lambda c: put(c, "gone")))
        await asyncio.sleep(0.01)
        waiting.cancel()
    await first
    await writer.write(lambda c: put(c, "last"))
    assert names(engine) == ["first", "last"]


async def test_more_than_may_wait_is_refused(engine: sa.Engine) -> None:
    writer = Writer(engine, 1)
    with holding(engine):
        calls = [asyncio.ensure_future(writer.write(partial(put, name=str(n)))) for n in range(5)]
        await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert 1 <= len(refused) < 5
    assert all(error.retry_after > 0 for error in refused)
    assert len(names(engine)) == 5 - len(refused)
    writer.close()
