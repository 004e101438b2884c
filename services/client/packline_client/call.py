"""One definition of each call, for both clients.

A service's class lists its calls as methods that *describe* a call (which RPC, which request, how to read the answer).
`@unary` and `@streaming` turn such a method into one that makes the call: on a service of `Client` it returns the
answer, on one of `AsyncClient` an awaitable of it, both typed.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from packline_core.channels import call_metadata

if TYPE_CHECKING:
    from packline_client.transport import AsyncTransport, SyncTransport

P = ParamSpec("P")
Out = TypeVar("Out")

Requests = Message | Iterable[Message] | AsyncIterable[Message]


@dataclass(frozen=True, slots=True)
class Call(Generic[Out]):
    """One call, described.

    Attributes:
        method: The RPC.
        application: Whom the fleet routes it to: a Pack, or one of Packline's own services.
        requests: The request, or the requests where the RPC streams them.
        parse: Reads an answer.
        timeout: Seconds; the client's where left out.
        request_key: All calls with one key stay on one version during a canary.
    """

    method: MethodDescriptor
    application: str
    requests: Requests
    parse: Callable[[Any], Out]
    timeout: float | None = None
    request_key: str = ""

    @property
    def path(self) -> str:
        """The RPC's name on the wire."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def response(self) -> type[Message]:
        """The class of its answers."""
        return GetMessageClass(self.method.output_type)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with the request."""
        return call_metadata(self.application, self.request_key)


class Service:
    """Calls over a blocking transport."""

    def __init__(self, transport: SyncTransport) -> None:
        self.transport = transport


class AsyncService:
    """Calls over an asyncio transport."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport


class _Described(Generic[P, Out]):
    """A method that describes a call; bound to a service it makes the call."""

    _run = ""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[Out]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def _bind(self, service: Service | AsyncService | None) -> Any:
        if service is None:
            return self
        run, describe = getattr(service.transport, self._run), self._describe

        @functools.wraps(describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return run(describe(service, *args, **kwargs))

        return method


class unary(_Described[P, Out]):  # noqa: N801 - a decorator
    """A call with one answer."""

    _run = "unary"

    @overload
    def __get__(self, service: Service, owner: object = None) -> Callable[P, Out]: ...
    @overload
    def __get__(self, service: AsyncService, owner: object = None) -> Callable[P, Awaitable[Out]]: ...
    @overload
    def __get__(self, service: None, owner: object = None) -> unary[P, Out]: ...
    def __get__(self, service: Service | AsyncService | None, owner: object = None) -> Any:
        """Binds it to the transport of its service."""
        return self._bind(service)


class streaming(_Described[P, Out]):  # noqa: N801 - a decorator
    """A call with many answers, read one by one."""

    _run = "streaming"

    @overload
    def __get__(self, service: Service, owner: object = None) -> Callable[P, Iterator[Out]]: ...
    @overload
    def __get__(self, service: AsyncService, owner: object = None) -> Callable[P, AsyncIterator[Out]]: ...
    @overload
    def __get__(self, service: None, owner: object = None) -> streaming[P, Out]: ...
    def __get__(self, service: Service | AsyncService | None, owner: object = None) -> Any:
        """Binds it to the transport of its service."""
        return self._bind(service)
