"""What monitoring asks of the training service: a port, and its adapter over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import grpc
from packline.training.v1 import training_pb2, training_pb2_grpc
from packline_core.config import TRAINING_APPLICATION
from packline_core.errors import DeadlineExceeded, Unavailable, Unimplemented
from packline_core.rpc import error_from_call, open_aio_channel
from packline_core.status import DETAILS_KEY

_DEADLINE = 10.0


class Training(Protocol):
    """The training service, as far as monitoring needs it."""

    async def manifest(self, pack: str) -> str:
        """A Pack's manifest as JSON. Raises `NotFound`, `Unavailable`, `DeadlineExceeded`."""

    async def erase_examples(self, pack: str, keys: Sequence[str]) -> int:
        """Removes examples from every dataset version, and returns how many. Raises as `manifest` does."""


class GrpcTraining:
    """The training service behind a fleet's ingress; the channel is opened with the first call.

    Args:
        address: `host:port`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None

    async def manifest(self, pack: str) -> str:
        """A Pack's manifest as JSON."""
        registry = training_pb2_grpc.RegistryServiceStub(self._open())
        response = await self._answer(registry.GetPack(training_pb2.GetPackRequest(pack=pack), timeout=_DEADLINE))
        return str(response.manifest_json)

    async def erase_examples(self, pack: str, keys: Sequence[str]) -> int:
        """Removes examples from every dataset version, and returns how many."""
        datasets = training_pb2_grpc.DatasetServiceStub(self._open())
        request = training_pb2.EraseExamplesRequest(pack=pack, keys=keys)
        response = await self._answer(datasets.EraseExamples(request, timeout=_DEADLINE))
        return int(response.erased)

    async def close(self) -> None:
        """Closes the channel."""
        if self._channel is not None:
            await self._channel.close(None)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            # Whoever waits for an answer here tries again itself: the caller's channel, or the next round.
            self._channel = open_aio_channel(self._address, TRAINING_APPLICATION, retries=False)
        return self._channel

    @staticmethod
    async def _answer(call: Any) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            known = error_from_call(error)
            trailers: Any = error.trailing_metadata()
            own_words = DETAILS_KEY in dict(trailers) and not isinstance(known, Unimplemented)
            if not own_words and not isinstance(known, Unavailable | DeadlineExceeded):
                # The ingress has no such application yet, or gave the call to another, which cannot answer it.
                raise Unavailable(f"training is not there: {known.message}", reason="TRAINING_UNAVAILABLE") from error
            raise known from error
