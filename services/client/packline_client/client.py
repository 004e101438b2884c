"""The two clients: one blocking, one for asyncio, with the same calls."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from packline_core.channels import open_aio_channel, open_channel
from packline_core.config import load_settings

from packline_client.monitoring import AsyncMonitoring, Monitoring
from packline_client.ocr import AsyncOcr, Ocr
from packline_client.recommendation import AsyncRecommending, Recommending
from packline_client.training import AsyncTraining, Training
from packline_client.transport import ATTEMPTS, AsyncTransport, SyncTransport

DEFAULT_TIMEOUT = 60.0


class Client:
    """A blocking client. Thread-safe; close it, or use it in `with`.

    Args:
        address: `host:port` of a fleet; that of the environment (`PACKLINE_ADDRESS`) where left out.
        timeout: Seconds that a call may take where it does not say otherwise.
        retries: Ask again where a peer is away or overloaded, as long as the call's time lasts.
    """

    def __init__(self, address: str | None = None, *, timeout: float = DEFAULT_TIMEOUT, retries: bool = True) -> None:
        self.address = address or load_settings().address
        self._channel = open_channel(self.address, retries=retries)
        transport = SyncTransport(self._channel, timeout, attempts=ATTEMPTS if retries else 1)
        self.ocr = Ocr(transport)
        self.recommendation = Recommending(transport)
        self.training = Training(transport)
        self.monitoring = Monitoring(transport)

    def close(self) -> None:
        """Ends the connection; calls in flight are called off."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for asyncio. Close it, or use it in `async with`.

    Args:
        address: `host:port` of a fleet; that of the environment (`PACKLINE_ADDRESS`) where left out.
        timeout: Seconds that a call may take where it does not say otherwise.
        retries: Ask again where a peer is away or overloaded, as long as the call's time lasts.
    """

    def __init__(self, address: str | None = None, *, timeout: float = DEFAULT_TIMEOUT, retries: bool = True) -> None:
        self.address = address or load_settings().address
        self._channel = open_aio_channel(self.address, retries=retries)
        transport = AsyncTransport(self._channel, timeout, attempts=ATTEMPTS if retries else 1)
        self.ocr = AsyncOcr(transport)
        self.recommendation = AsyncRecommending(transport)
        self.training = AsyncTraining(transport)
        self.monitoring = AsyncMonitoring(transport)

    async def close(self) -> None:
        """Ends the connection; calls in flight are called off."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
