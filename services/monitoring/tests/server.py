"""A monitoring service as a process of its own, to be killed: `python -m services.monitoring.tests.server …`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from packline_monitoring.config import Limits

from services.monitoring.tests.harness import Clock, Peer, serving


class Now(Clock):
    """The machine's own time."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


async def main(folder: Path, store: Path, training_port: int) -> None:
    """Serves until killed; prints its port."""
    peer = Peer(port=training_port)
    async with serving(folder, Now(), peer, Limits(arrival=0.3), store) as service:
        service.monitoring.start()
        print(service.port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
