"""A monitoring service as a process of its own, to be killed: `python -m services.monitoring.tests.server …`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from packline_monitoring.config import Limits

from services.monitoring.tests.harness import Clock, Peer, serving
from tests.backends.fixtures import Backend


class Now(Clock):
    """The machine's own time."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


async def main(database: str, store: str, training_port: int) -> None:
    """Serves until killed; prints its port."""
    peer = Peer(port=training_port)
    backend = Backend("given", database, store, Path())
    async with serving(backend, Now(), peer, Limits(arrival=0.3)) as service:
        service.monitoring.start()
        print(service.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
