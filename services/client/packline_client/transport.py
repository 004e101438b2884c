"""The two thin transports: how a described call is made, blocking or in asyncio.

Both give every call a deadline and raise `PacklineError`s. A peer that is away (UNAVAILABLE) is tried again by gRPC
itself, by the channel's service config; an overloaded one says in RetryInfo how long to wait, which gRPC does not read,
so that is done here. Only calls that change nothing when made twice are repeated, and streams of requests are not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from packline_core.channels import NOT_REPEATED
from packline_core.errors import Overloaded
from packline_core.status import error_from_call

from packline_client.call import Call
from packline_client.requests import Guarded

Out = TypeVar("Out")

ATTEMPTS = 5


class _Patience:
    """How often and until when an overloaded Pack is asked again."""

    def __init__(self, call: Call[Any], timeout: float, attempts: int) -> None:
        self._ends = time.monotonic() + timeout
        self._left = attempts if call.method.name not in NOT_REPEATED and isinstance(call.requests, Message) else 1

    @property
    def seconds(self) -> float:
        """Until the deadline."""
        return max(self._ends - time.monotonic(), 0.001)

    def pause(self, error: Overloaded) -> float:
        """Seconds to wait before the next attempt; raises `error` where there is none."""
        self._left -= 1
        # Spread out, so that all who were refused together do not come back together.
        pause = error.retry_after * random.uniform(1.0, 1.5)
        if self._left <= 0 or pause >= self.seconds:
            raise error
        return pause


class SyncTransport:
    """Calls over a blocking channel."""

    def __init__(self, channel: grpc.Channel, timeout: float, attempts: int = ATTEMPTS) -> None:
        self._channel = channel
        self._timeout = timeout
        self._attempts = attempts

    def unary(self, call: Call[Out]) -> Out:
        """Makes a call with one answer."""
        patience = _Patience(call, call.timeout or self._timeout, self._attempts)
        while True:
            try:
                return call.parse(self._answer(call, patience.seconds))
            except Overloaded as error:
                time.sleep(patience.pause(error))

    def _answer(self, call: Call[Any], seconds: float) -> Any:
        requests = _requests(call)
        make = self._channel.stream_unary if isinstance(requests, Guarded) else self._channel.unary_unary
        running = self._begin(_stub(make, call).future, requests, call, seconds)
        try:
            return running.result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise _reason(error, requests) from None

    def streaming(self, call: Call[Out]) -> Iterator[Out]:
        """Makes a call with many answers; leaving the iterator early calls it off."""
        requests = _requests(call)
        make = self._channel.stream_stream if isinstance(requests, Guarded) else self._channel.unary_stream
        answers = self._begin(_stub(make, call), requests, call, call.timeout or self._timeout)
        try:
            for message in answers:
                yield call.parse(message)
        except grpc.RpcError as error:
            raise _reason(error, requests) from None
        finally:
            answers.cancel()

    def _begin(self, stub: Any, requests: Message | Guarded, call: Call[Any], seconds: float) -> Any:
        if isinstance(requests, Message):
            return stub(requests, timeout=seconds, metadata=call.metadata)
        running = stub(iter(requests), timeout=seconds, metadata=call.metadata)
        requests.started(running.cancel)
        return running


class AsyncTransport:
    """Calls over an asyncio channel."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float, attempts: int = ATTEMPTS) -> None:
        self._channel = channel
        self._timeout = timeout
        self._attempts = attempts

    async def unary(self, call: Call[Out]) -> Out:
        """Makes a call with one answer."""
        patience = _Patience(call, call.timeout or self._timeout, self._attempts)
        while True:
            try:
                return call.parse(await self._answer(call, patience.seconds))
            except Overloaded as error:
                await asyncio.sleep(patience.pause(error))

    async def _answer(self, call: Call[Any], seconds: float) -> Any:
        requests = _requests(call)
        make = self._channel.stream_unary if isinstance(requests, Guarded) else self._channel.unary_unary
        try:
            return await _stub(make, call)(requests, timeout=seconds, metadata=call.metadata)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            raise _reason(error, requests) from None

    async def streaming(self, call: Call[Out]) -> AsyncIterator[Out]:
        """Makes a call with many answers; leaving the iterator early calls it off."""
        requests = _requests(call)
        make = self._channel.stream_stream if isinstance(requests, Guarded) else self._channel.unary_stream
        answers = _stub(make, call)(requests, timeout=call.timeout or self._timeout, metadata=call.metadata)
        try:
            async for message in answers:
                yield call.parse(message)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            raise _reason(error, requests) from None
        finally:
            answers.cancel()


def _requests(call: Call[Any]) -> Message | Guarded:
    return call.requests if isinstance(call.requests, Message) else Guarded(call.requests)


def _stub(make: Any, call: Call[Any]) -> Any:
    return make(
        call.path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=call.response.FromString,
    )


def _reason(error: BaseException, requests: Message | Guarded) -> BaseException:
    """What made a call fail: the source of its requests, or what its status says."""
    if isinstance(requests, Guarded) and requests.failure is not None:
        return requests.failure
    return error_from_call(error) if isinstance(error, grpc.RpcError) else error
