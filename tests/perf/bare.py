"""The yardstick: a plain grpc.aio server with the same batcher and the same predictor, and nothing else."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import uvloop
from packline_core.bundle import open_bundle
from packline_core.rpc import MAX_MESSAGE_BYTES
from packline_core.runtime import Runtime
from packline_core.serving.batcher import Batcher
from packline_core.serving.config import Limits
from packline_core.task import get_task


def echo_handler(predictor: Any, batcher: Batcher) -> Callable[[Any, Any], Awaitable[Any]]:
    """EchoService.Echo."""
    from packline.echo.v1.echo_pb2 import EchoResponse

    async def echo(request: Any, context: Any) -> Any:
        (answer,) = await batcher.submit(predictor.prepare(request.values))
        return EchoResponse(prediction_id="0" * 32, model_version="v1", values=answer.tolist())

    return echo


def ocr_handler(predictor: Any, batcher: Batcher) -> Callable[[Any, Any], Awaitable[Any]]:
    """OcrService.RecognizeDocument."""
    from packline_core.serving.replica import Prediction
    from packline_ocr.servicer import to_response

    pool = ThreadPoolExecutor(2)

    async def recognize(request: Any, context: Any) -> Any:
        loop = asyncio.get_running_loop()
        pages = await loop.run_in_executor(pool, predictor.prepare, request.document)
        return to_response(Prediction("0" * 32, "v1", await batcher.submit(pages)))

    return recognize


async def serve(task: str, bundle: Path, port: int, threads: int) -> None:
    """Serves until it is killed."""
    predictor = get_task(task).load(open_bundle(bundle), Runtime(threads=threads))
    batcher = Batcher(predictor.predict, Limits())
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    if task == "echo":
        from packline.echo.v1 import echo_pb2_grpc

        handler = type("Echo", (), {"Echo": staticmethod(echo_handler(predictor, batcher))})()
        echo_pb2_grpc.add_EchoServiceServicer_to_server(handler, server)
    else:
        from packline.ocr.v1 import ocr_pb2_grpc

        class Ocr(ocr_pb2_grpc.OcrServiceServicer):
            RecognizeDocument = staticmethod(ocr_handler(predictor, batcher))

        ocr_pb2_grpc.add_OcrServiceServicer_to_server(Ocr(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    uvloop.run(serve(options.task, options.bundle, options.port, options.threads))
