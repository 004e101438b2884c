"""gRPC channels to a fleet: message sizes, keepalive, retries, and the metadata by which the ingress routes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc

APPLICATION_KEY = "application"
REQUEST_KEY = "packline-request-key"
MAX_MESSAGE_BYTES = 64 << 20

# Every other method may be sent twice: what changes something carries an id of the caller's choosing. These are wishes
# without one: a second Rollback, sent after the first was fulfilled, would go back one version more.
NOT_REPEATED = frozenset({"Approve", "Rollback"})
_REGISTRY = "packline.training.v1.RegistryService"
# UNAVAILABLE says that the call did not run to its end.
_SERVICE_CONFIG = {
    "methodConfig": [
        {"name": [{"service": _REGISTRY, "method": method} for method in sorted(NOT_REPEATED)]},
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        },
    ]
}

Metadata = tuple[tuple[str, str], ...]


def call_metadata(application: str, request_key: str = "") -> Metadata:
    """Metadata of one call.

    Args:
        application: The Pack, or `packline-training` or `packline-monitoring`.
        request_key: Calls with one key stay on one version during a canary.
    """
    return ((APPLICATION_KEY, application), *(((REQUEST_KEY, request_key),) if request_key else ()))


def channel_options(address: str, *, retries: bool = True) -> list[tuple[str, Any]]:
    """Options of a channel to `address`."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    if retries:
        options.append(("grpc.service_config", json.dumps(_SERVICE_CONFIG)))
    if address.rpartition(":")[0] in {"127.0.0.1", "localhost", "[::1]"}:
        options.append(("grpc.enable_http_proxy", 0))
    return options


def open_channel(
    address: str,
    application: str = "",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    retries: bool = True,
) -> grpc.Channel:
    """A channel for blocking calls.

    Args:
        address: `host:port`.
        application: Sent with every call where it is given; otherwise the caller sends `call_metadata` itself.
        credentials: TLS; plain text where left out.
        retries: Repeat calls that were answered UNAVAILABLE. Without it, too, gRPC sends again what no server has seen:
            an ingress that reloads says goodbye to a connection while a call may be on its way.
    """
    options = channel_options(address, retries=retries)
    channel = (
        grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)
    )
    return grpc.intercept_channel(channel, _Inject(application)) if application else channel


def open_aio_channel(
    address: str,
    application: str = "",
    *,
    credentials: grpc.ChannelCredentials | None = None,
    retries: bool = True,
) -> grpc.aio.Channel:
    """The same for asyncio. Opened inside a running loop."""
    options = channel_options(address, retries=retries)
    interceptors = _aio_interceptors(application) if application else []
    if credentials:
        return grpc.aio.secure_channel(address, credentials, options, interceptors=interceptors)
    return grpc.aio.insecure_channel(address, options, interceptors=interceptors)


class _Details(grpc.ClientCallDetails):
    """A call's details with `application` added."""

    def __init__(self, details: Any, application: str) -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = (*(details.metadata or ()), (APPLICATION_KEY, application))
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready
        self.compression = getattr(details, "compression", None)


class _Inject(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.UnaryStreamClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[type-arg]
    grpc.StreamStreamClientInterceptor,  # type: ignore[type-arg]
):
    """Adds `application` to blocking calls of all four kinds."""

    def __init__(self, application: str) -> None:
        self._application = application

    def _send(self, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        return continuation(_Details(client_call_details, self._application), request)

    intercept_unary_unary = _send
    intercept_unary_stream = _send
    intercept_stream_unary = _send  # type: ignore[assignment]
    intercept_stream_stream = _send  # type: ignore[assignment]


def _aio_interceptors(application: str) -> Sequence[Any]:
    async def send(self: Any, continuation: Callable[..., Any], client_call_details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(client_call_details.metadata or ()), (APPLICATION_KEY, application))
        return await continuation(client_call_details._replace(metadata=metadata), request)

    # grpc.aio sorts interceptors by the one base class that it finds, so each kind of call needs a class of its own.
    kinds = {
        "intercept_unary_unary": grpc.aio.UnaryUnaryClientInterceptor,
        "intercept_unary_stream": grpc.aio.UnaryStreamClientInterceptor,
        "intercept_stream_unary": grpc.aio.StreamUnaryClientInterceptor,
        "intercept_stream_stream": grpc.aio.StreamStreamClientInterceptor,
    }
    return [type(f"_{name}", (base,), {name: send})() for name, base in kinds.items()]
