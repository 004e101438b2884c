"""Every RPC fuzzed over real gRPC, in a process of its own without Ray: a clear status whatever is sent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from packline.recommendation.v1 import recommendation_pb2, recommendation_pb2_grpc
from packline_core.bundle import Bundle
from packline_core.config import Settings, load_settings
from packline_core.serving.config import Limits, Recording, ServingConfig, Version
from packline_recommendation.layout import KnownUser
from packline_recommendation.servicer import RecommendationServicer

from services.recommendation.tests.bundles import DAY, NOW, circle, write_bundle
from tests.backends.fixtures import BACKENDS, open_backend
from tests.fuzz import fuzz

PACK = "shop"


@pytest.fixture(scope="module", params=BACKENDS)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    users = [KnownUser("shop", [5], [NOW - DAY], [1.0])]
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"), vectors=circle(20), users=users)
    with open_backend(request, request.param, home) as backend:
        settings = load_settings({"PACKLINE_HOME": str(home), "PACKLINE_STATE_DATABASE": backend.database})
        with serving(settings, bundle) as address:
            yield address


@contextmanager
def serving(settings: Settings, bundle: Bundle) -> Iterator[str]:
    """The address of a replica that serves in a thread's event loop."""
    started, stop, port = threading.Event(), threading.Event(), [0]

    async def serve() -> None:
        servicer = RecommendationServicer(PACK, "recommendation", settings)
        version = Version("v1", bundle.digest, Path(bundle.folder).as_uri())
        config = ServingConfig(
            PACK, "recommendation", active=version, recording=Recording(enabled=False), limits=Limits(threads=1)
        )
        await servicer.reconfigure(config.to_user_config())
        assert servicer.is_serving()
        server = grpc.aio.server()
        recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port[0] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        started.set()
        await asyncio.to_thread(stop.wait)
        await server.stop(None)
        await servicer.drain()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(60)
    yield f"127.0.0.1:{port[0]}"
    stop.set()
    thread.join(30)


def test_any_message_gets_a_clear_status(address: str) -> None:
    service = recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"]
    with grpc.insecure_channel(address) as channel:
        fuzz(channel, service, application=PACK, pack=PACK, examples=60)
