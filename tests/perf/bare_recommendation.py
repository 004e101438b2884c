"""The yardstick: a plain grpc.aio server that looks a user's history up in memory, runs the same graph in the same
batcher, and does nothing else: no state, no filters, no causes, no recording.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow.parquet as pq
import uvloop
from packline.recommendation.v1 import recommendation_pb2 as pb
from packline.recommendation.v1 import recommendation_pb2_grpc
from packline_core.channels import MAX_MESSAGE_BYTES
from packline_core.runtime import Runtime, create_session
from packline_core.serving.batcher import Batcher
from packline_core.serving.config import Limits
from packline_recommendation.layout import MODEL


class Bare(recommendation_pb2_grpc.RecommendationServiceServicer):
    """Recommend and RecommendMany."""

    def __init__(self, folder: Path) -> None:
        self.session = create_session(folder / MODEL, Runtime(threads=1))
        self.ids = pq.read_table(folder / "items.parquet", columns=["id"])["id"].to_pylist()
        users = pq.read_table(folder / "histories.parquet", columns=["user", "items"])
        self.users = {
            user: np.asarray(items, np.int64)
            for user, items in zip(users["user"].to_pylist(), users["items"].to_pylist(), strict=True)
        }
        limits = Limits()
        self.batcher = Batcher(self.predict, limits)
        self.many = asyncio.Semaphore(limits.max_batch)

    def predict(self, items: Sequence[Any]) -> Sequence[Any]:
        """Runs a batch of histories; each item is (history, k)."""
        length = max(len(history) for history, _ in items)
        batch = np.zeros((len(items), length), np.int64)
        allowed = np.ones((len(items), len(self.ids)), np.bool_)
        for row, (history, _) in enumerate(items):
            batch[row, length - len(history) :] = history + 1
            allowed[row, history] = False
        weights = (batch > 0).astype(np.float32)
        k = np.array([max(k for _, k in items)], np.int64)
        given = {"items": batch, "weights": weights, "ages": np.zeros_like(weights), "allowed": allowed, "k": k}
        scores, indices = self.session.run(["scores", "indices"], given)
        return list(zip(scores.tolist(), indices.tolist(), strict=True))

    async def one(self, request: pb.RecommendRequest) -> pb.RecommendResponse:
        """One answer."""
        ((scores, indices),) = await self.batcher.submit([(self.users[request.user], request.k)])
        results = [pb.Recommendation(item=self.ids[i], score=s) for i, s in zip(indices, scores, strict=True)]
        return pb.RecommendResponse(prediction_id="0" * 32, model_version="v1", results=results, basis=pb.BASIS_USER)

    async def Recommend(self, request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:
        """As the service's."""
        return await self.one(request)

    async def RecommendMany(self, request: pb.RecommendManyRequest, context: Any) -> pb.RecommendManyResponse:
        """As the service's."""

        async def one(inner: pb.RecommendRequest) -> pb.RecommendResponse:
            async with self.many:
                return await self.one(inner)

        answers = await asyncio.gather(*map(one, request.requests))
        return pb.RecommendManyResponse(outcomes=[pb.RecommendOutcome(answer=answer) for answer in answers])


async def serve(bundle: Path, port: int) -> None:
    """Serves until it is killed."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)])
    recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(Bare(bundle), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.bundle, options.port))
