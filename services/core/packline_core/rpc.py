"""What all RPC methods have in common: who calls, until when, and how errors leave.

A servicer's methods are written as `async def Name(self, request, call)` (or as async generators) under `@rpc`. They
raise `PacklineError`s; here alone these become gRPC statuses. The same servicer runs under Ray Serve and under a plain
grpc.aio server.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, overload

from google.protobuf.empty_pb2 import Empty

from packline_core.channels import (
    APPLICATION_KEY,
    MAX_MESSAGE_BYTES,
    REQUEST_KEY,
    call_metadata,
    channel_options,
    open_aio_channel,
    open_channel,
)
from packline_core.errors import PacklineError
from packline_core.status import DETAILS_KEY, error_from_call, status_code, status_message, to_status

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Call",
    "call_metadata",
    "call_of",
    "channel_options",
    "error_from_call",
    "open_aio_channel",
    "open_channel",
    "rpc",
]

# Set by the edge once it has checked the caller's token; nobody else may send it through the edge.
SUBJECT_KEY = "packline-subject"

_log = logging.getLogger(__name__)
_S = TypeVar("_S")
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, apart from its request.

    Attributes:
        method: Name of the RPC method.
        metadata: The caller's metadata, binary entries left out.
        deadline: On the clock of `time.monotonic`; None where there is none, or where Serve's ingress hides it: the
            call is then cancelled when its time is up.
    """

    method: str
    metadata: Mapping[str, str]
    deadline: float | None

    @property
    def application(self) -> str:
        """The application that the caller asked for."""
        return self.metadata.get(APPLICATION_KEY, "")

    @property
    def request_key(self) -> str:
        """What keeps related calls on one version; empty where the caller sent none."""
        return self.metadata.get(REQUEST_KEY, "")

    @property
    def subject(self) -> str:
        """Who calls, as the edge established it; empty where no edge stands before the fleet."""
        return self.metadata.get(SUBJECT_KEY, "")


def call_of(method: str, grpc_context: Any) -> Call:
    """Reads a call from either kind of context."""
    metadata = {key: value for key, value in grpc_context.invocation_metadata() or () if isinstance(value, str)}
    remaining = grpc_context.time_remaining() if hasattr(grpc_context, "time_remaining") else None
    return Call(method, metadata, None if remaining is None else time.monotonic() + remaining)


@overload
def rpc(
    method: Callable[[_S, _Request, Call], Coroutine[Any, Any, _Response]],
) -> Callable[[_S, _Request, Any], Coroutine[Any, Any, _Response]]: ...


@overload
def rpc(
    method: Callable[[_S, _Request, Call], AsyncIterator[_Response]],
) -> Callable[[_S, _Request, Any], AsyncIterator[_Response]]: ...


def rpc(method: Callable[[Any, Any, Call], Any]) -> Callable[[Any, Any, Any], Any]:
    """Makes an RPC method of `method(self, request, call)`, a coroutine function or an async generator function.

    Errors leave with code, words and details. Anything that is no `PacklineError` is logged in full under an id, and
    the caller is told the id and nothing else. Every error is counted as `packline_rpc_errors_total`.
    """
    name = method.__name__

    # Serve looks the context parameter up by this name.
    async def unary(self: Any, request: Any, grpc_context: Any) -> Any:
        try:
            return await method(self, request, call_of(name, grpc_context))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the one place where every error becomes a status
            return await _refuse(name, error, grpc_context)

    async def streaming(self: Any, request: Any, grpc_context: Any) -> AsyncIterator[Any]:
        try:
            async for response in method(self, request, call_of(name, grpc_context)):
                yield response
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except Exception as error:  # the one place where every error becomes a status
            await _refuse(name, error, grpc_context)

    wrapper: Callable[[Any, Any, Any], Any] = streaming if inspect.isasyncgenfunction(method) else unary
    wrapper.__name__, wrapper.__qualname__, wrapper.__doc__ = name, method.__qualname__, method.__doc__
    return wrapper


async def _refuse(method: str, error: Exception, grpc_context: Any) -> Empty:
    if hasattr(grpc_context, "abort") and isinstance(error, _abort_error()):
        raise error
    known = error if isinstance(error, PacklineError) else _internal(method, error)
    code, details = status_code(known), status_message(known)
    trailers = ((DETAILS_KEY, to_status(known).SerializeToString()),)
    _count(method, code.name, known.reason)
    if hasattr(grpc_context, "abort"):
        await grpc_context.abort(code, details, trailers)
    # Ray Serve drops trailers on a raise, so under it the status is set and an empty message returned.
    grpc_context.set_code(code)
    grpc_context.set_details(details)
    grpc_context.set_trailing_metadata(list(trailers))  # Serve adds its own list to it
    return Empty()


def _internal(method: str, error: Exception) -> PacklineError:
    error_id = uuid.uuid4().hex[:12]
    _log.error("error %s in %s", error_id, method, exc_info=error)
    return PacklineError(f"internal error {error_id}; the service's log has the rest under that id", error_id=error_id)


@cache
def _abort_error() -> type[BaseException]:
    import grpc

    abort: type[BaseException] = grpc.aio.AbortError
    return abort


def _count(method: str, code: str, reason: str) -> None:
    _counter()({"method": method, "code": code, "reason": reason})


@cache
def _counter() -> Callable[[dict[str, str]], None]:
    """Ray's counter where Ray runs this process, since its agent exports no other; Prometheus' own elsewhere."""
    name, description = "packline_rpc_errors", "Calls answered with an error"
    labels = ("method", "code", "reason")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        from ray.util.metrics import Counter as RayCounter

        counter = RayCounter(name, description=description, tag_keys=labels)
        return lambda tags: counter.inc(1, tags=tags)
    from prometheus_client import Counter

    plain = Counter(name, description, labels)
    return lambda tags: plain.labels(**tags).inc()
