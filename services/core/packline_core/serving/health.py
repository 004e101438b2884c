"""What the servicer of every application answers: `grpc.health.v1`, and methods that are another application's.

Serve looks methods up by name alone, in whichever application was called. Where there is none it answers UNKNOWN and
lists the class's attributes; here such a call is UNIMPLEMENTED.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse

from packline_core.errors import NotFound, Unimplemented
from packline_core.rpc import Call, rpc

_SECONDS_BETWEEN_LOOKS = 0.5


class HealthServicer:
    """Mixed into a servicer, answers the two health methods for it.

    Attributes:
        health_services: Full names of the gRPC services that the application offers.
    """

    health_services: frozenset[str] = frozenset()

    def is_serving(self) -> bool:
        """Whether calls would be answered now."""
        return True

    @rpc
    async def Check(self, request: HealthCheckRequest, call: Call) -> HealthCheckResponse:
        """The state now; NOT_FOUND for a service that is not offered here."""
        if request.service and request.service not in self.health_services:
            raise NotFound(f"no service {request.service!r} is offered here", reason="UNKNOWN_SERVICE")
        return HealthCheckResponse(status=self._status())

    @rpc
    async def List(self, request: HealthListRequest, call: Call) -> HealthListResponse:
        """The state of every service that is offered here."""
        status = HealthCheckResponse(status=self._status())
        return HealthListResponse(statuses=dict.fromkeys(sorted({"", *self.health_services}), status))

    @rpc
    async def Watch(self, request: HealthCheckRequest, call: Call) -> AsyncIterator[HealthCheckResponse]:
        """The state now, and again at each change, until the caller leaves."""
        if request.service and request.service not in self.health_services:
            yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
            return
        last: Any = None
        while True:
            status = self._status()
            if status != last:
                yield HealthCheckResponse(status=status)
                last = status
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

    def _status(self) -> Any:
        return HealthCheckResponse.SERVING if self.is_serving() else HealthCheckResponse.NOT_SERVING

    if not TYPE_CHECKING:  # the checker shall know the attributes that there are

        def __getattr__(self, name: str) -> Any:
            if not name[:1].isupper():
                raise AttributeError(name)
            return (_absent_stream if _is_streaming(name) else _absent).__get__(self)


@rpc
async def _absent(self: Any, request: Any, call: Call) -> Any:
    raise Unimplemented("this application has no such method; check the metadata `application`")


@rpc
async def _absent_stream(self: Any, request: Any, call: Call) -> AsyncIterator[Any]:
    if self is None:  # never: what makes this an async generator
        yield
    raise Unimplemented("this application has no such method; check the metadata `application`")


def _is_streaming(method: str) -> bool:
    """Whether a method of that name, of any service whose stubs Serve has loaded, answers with a stream."""
    loaded = [module for name, module in list(sys.modules.items()) if name.endswith("_pb2")]
    services = [service for module in loaded for service in module.DESCRIPTOR.services_by_name.values()]
    return any(m.name == method and m.server_streaming for service in services for m in service.methods)
