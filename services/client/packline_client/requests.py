"""Requests as gRPC wants them: one message, or an iterator whose own failure is not lost.

gRPC turns an exception in a request iterator into a bare status; `Guarded` keeps it for the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from google.protobuf.message import Message
from packline_core.errors import InvalidInput


class Guarded:
    """A stream of requests; `failure` is what its source raised."""

    def __init__(self, source: Iterable[Message] | AsyncIterable[Message]) -> None:
        self._source = source
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[Message]:
        if isinstance(self._source, AsyncIterable):
            raise InvalidInput("an async iterator was given to the blocking client; use AsyncClient", field="documents")
        try:
            yield from self._source
        except Exception as error:
            self.failure = error
            raise

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
            raise


def _next(source: Iterator[Message]) -> Message | None:
    return next(source, None)
