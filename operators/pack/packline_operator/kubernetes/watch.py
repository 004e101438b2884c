"""kopf's part: it watches Packs and RayServices, and hands every change to the cache."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf
from packline_core.manifest import API_VERSION

from packline_operator.kubernetes import fleet
from packline_operator.kubernetes.cache import PACKS, SERVICES, Cache

# A watch is opened anew so often, so that one that the network lost without a word is noticed.
_WATCH_SECONDS = 240


class _Endless:
    """Pauses between tries to reach an API server that is away: however long it takes."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.2, 0.5, 1.0, 2.0)
        while True:
            yield 5.0


def watch(
    cache: Cache, namespaces: Sequence[str], stop: threading.Event, ready: threading.Event, login: Callable[..., Any]
) -> None:
    """Watches until `stop`.

    Args:
        cache: What is fed.
        namespaces: Those that are watched; none means all.
        stop: Ends it.
        ready: Set once it has begun.
        login: A kopf login handler.
    """
    registry = kopf.OperatorRegistry()
    for kind, place in ((PACKS, API_VERSION), (SERVICES, fleet.API_VERSION)):
        group, version = place.split("/")
        kopf.on.event(group, version, kind, registry=registry)(_feeder(cache, kind))
    kopf.on.login(registry=registry)(login)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    kopf.run(
        registry=registry,
        settings=_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
        ready_flag=ready,
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # Only what the operator is granted is looked at; KubeRay and the CRD are there before it starts.
    settings.scanning.disabled = True
    settings.watching.server_timeout = _WATCH_SECONDS
    settings.networking.error_backoffs = _Endless()
    return settings


def _feeder(cache: Cache, kind: str) -> Callable[..., Any]:
    async def feed(event: Any, **_: Any) -> None:
        cache.put(kind, dict(event["object"]), gone=event["type"] == "DELETED")

    return feed
