"""Fixtures: a whole monitoring service on real files, its training peer, and a clock that tests move."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from packline_monitoring.config import Limits
from packline_monitoring.tables import metadata

from services.monitoring.tests.harness import Clock, Peer, Service, serving


@pytest.fixture(autouse=True)
def _clean_database() -> Iterator[None]:
    yield
    if url := os.environ.get("PACKLINE_TEST_POSTGRES"):
        engine = sa.create_engine(url)
        metadata.drop_all(engine)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS packline_monitoring_revision"))
        engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    await peer.start()
    yield peer
    await peer.stop()


@pytest.fixture
def limits() -> Limits:
    return Limits(arrival=0.3, pause=3600.0)


@pytest_asyncio.fixture
async def service(tmp_path: Path, clock: Clock, peer: Peer, limits: Limits) -> AsyncIterator[Service]:
    async with serving(tmp_path, clock, peer, limits, tmp_path / "store") as service:
        yield service
