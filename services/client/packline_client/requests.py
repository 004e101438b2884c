"""A stream of requests whose source may fail: the call is then called off, and the failure kept for the caller.

gRPC would turn an exception in a request iterator into a status without a reason. A source that just ended would be
worse: the peer would take half a file for the whole.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

from google.protobuf.message import Message
from packline_core.errors import InvalidInput


class Guarded:
    """Requests for one call; `failure` is what their source raised."""

    def __init__(self, source: Iterable[Message] | AsyncIterable[Message]) -> None:
        self._source = source
        self._started = threading.Event()
        self._call_off: Callable[[], object] = lambda: None
        self.failure: Exception | None = None

    def started(self, call_off: Callable[[], object]) -> None:
        """Tells how the blocking call that takes these requests is called off."""
        self._call_off = call_off
        self._started.set()

    def __iter__(self) -> Iterator[Message]:
        try:
            if isinstance(self._source, AsyncIterable):
                raise InvalidInput("the blocking client was given an async iterator; use AsyncClient")
            yield from self._source
        except Exception as error:  # whatever the caller's own iterator raises goes back to the caller
            self.failure = error
            self._started.wait()
            self._call_off()

    async def __aiter__(self) -> AsyncIterator[Message]:
        try:
            if isinstance(self._source, AsyncIterable):
                async for message in self._source:
                    yield message
                return
            source = iter(self._source)
            # In a thread, since a source that reads files or waits for a scanner would hold up the event loop.
            while (item := await asyncio.to_thread(_next, source)) is not None:
                yield item
        except Exception as error:
            self.failure = error
            raise  # grpc.aio calls the call off


def _next(source: Iterator[Message]) -> Message | None:
    return next(source, None)
