"""EchoService: protobuf to values and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from packline.echo.v1.echo_pb2 import EchoRequest, EchoResponse
from packline_core.rpc import Call, rpc
from packline_core.serving.replica import Replica

from packline_echo.domain import Values, answer_json, to_values, values_json


class EchoServicer(Replica):
    """The replica of an echo Pack."""

    prepare_inline = True

    @rpc
    async def Echo(self, request: EchoRequest, call: Call) -> EchoResponse:
        """Runs the graph over the values."""
        prediction = await self.predict(
            call, pack=request.pack, payload=request.values, record=partial(_payload, request)
        )
        return EchoResponse(
            prediction_id=prediction.prediction_id,
            model_version=prediction.model_version,
            values=prediction.results[0].tolist(),
        )

    def answer_json(self, results: Sequence[Values]) -> str:
        """The answer in the task's JSON."""
        return answer_json(results[0])


def _payload(request: EchoRequest) -> bytes:
    return values_json(to_values(request.values)).encode()
