"""Calls that wait for a prediction's record, which its replica may still hold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

_MAX_WAITING = 1000


class Arrivals:
    """Who waits for which prediction, (pack, prediction_id). Used from the event loop only."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], list[asyncio.Future[None]]] = {}

    async def wait(self, key: tuple[str, str], seconds: float) -> None:
        """Returns when the prediction has been recorded, at the latest after `seconds`; at once where many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        finally:
            self._waiting[key].remove(future)
            if not self._waiting[key]:
                del self._waiting[key]

    def tell(self, keys: Iterable[tuple[str, str]]) -> None:
        """Wakes those who wait for these predictions, which have just been recorded."""
        if not self._waiting:
            return
        for key in keys:
            for future in self._waiting.get(key, ()):
                if not future.done():
                    future.set_result(None)
