"""Fixtures: a whole monitoring service on real files, its training peer, and a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from packline_monitoring.config import Limits

from services.monitoring.tests.harness import Clock, Peer, Service, serving
from tests.backends.fixtures import Backend


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
async def service(backend: Backend, clock: Clock, peer: Peer, limits: Limits) -> AsyncIterator[Service]:
    async with serving(backend, clock, peer, limits) as service:
        yield service
