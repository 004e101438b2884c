"""`grpc.health.v1` for the servicers of any application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from packline_core.errors import NotFound
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
