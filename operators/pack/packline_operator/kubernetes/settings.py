"""The operator's settings, all from the environment; the README lists them."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from packline_core.errors import InvalidInput

from packline_operator.act import DIE_AFTER
from packline_operator.loop import MAX_PACKS


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """One operator.

    Attributes:
        namespaces: Those whose Packs are its own; none means all.
        own_namespace: Where its Lease lies.
        identity: Tells it from its peers.
        lease_seconds: After so long without a sign of life another may take over.
        serve_api: Serve's REST API of a fleet; `{name}` and `{namespace}` are its RayService's.
        address: `host:port` of a fleet's gRPC ingress, with the same two.
        ray_auth_secret: Name of the Secret beside the fleet whose `auth_token` Ray asks for; empty for none.
        port: Of `/healthz` and `/metrics`; 0 picks one.
        settled_seconds: How often a Pack of which nothing is under way is looked at.
        resync_seconds: How often all is listed anew, whatever was watched.
        max_packs: How many Packs a fleet carries.
        grpc_port: Of the fleet's gRPC ingress, within it.
        http_port: Of the fleet's HTTP ingress, within it.
        die_after: See `act.DIE_AFTER`.
    """

    namespaces: tuple[str, ...] = ()
    own_namespace: str = "default"
    identity: str = "packline-operator"
    lease_seconds: float = 15.0
    serve_api: str = "http://{name}-head-svc.{namespace}.svc:8265"
    address: str = "{name}-serve-svc.{namespace}.svc:9000"
    ray_auth_secret: str = ""
    port: int = 8080
    settled_seconds: float = 20.0
    resync_seconds: float = 300.0
    max_packs: int = MAX_PACKS
    grpc_port: int = 9000
    http_port: int = 8000
    die_after: int = 0


def load_operator_settings(environ: Mapping[str, str] = os.environ) -> OperatorSettings:
    """Reads them.

    Raises:
        InvalidInput: One is no number, or no template.
    """
    default = OperatorSettings()

    def number(name: str, otherwise: float) -> float:
        text = environ.get(name, "")
        try:
            return float(text) if text else otherwise
        except ValueError:
            raise InvalidInput(f"{name}: {text!r} is no number", field=name) from None

    def template(name: str, otherwise: str) -> str:
        text = environ.get(name) or otherwise
        try:
            text.format(name="fleet", namespace="default")
        except (KeyError, IndexError, ValueError):
            raise InvalidInput(f"{name}: {text!r} may name {{name}} and {{namespace}} only", field=name) from None
        return text

    namespaces = environ.get("PACKLINE_NAMESPACES", "").replace(",", " ").split()
    return OperatorSettings(
        namespaces=() if "*" in namespaces else tuple(namespaces),
        own_namespace=environ.get("POD_NAMESPACE") or default.own_namespace,
        # A pod's container may be started again while its earlier process still believes that it acts.
        identity=f"{environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        lease_seconds=number("PACKLINE_LEASE_SECONDS", default.lease_seconds),
        serve_api=template("PACKLINE_SERVE_API", default.serve_api),
        address=template("PACKLINE_ADDRESS", default.address),
        ray_auth_secret=environ.get("PACKLINE_RAY_AUTH_SECRET", ""),
        port=int(number("PACKLINE_OPERATOR_PORT", default.port)),
        settled_seconds=number("PACKLINE_SETTLED_SECONDS", default.settled_seconds),
        resync_seconds=number("PACKLINE_RESYNC_SECONDS", default.resync_seconds),
        max_packs=int(number("PACKLINE_MAX_PACKS", default.max_packs)),
        grpc_port=int(number("PACKLINE_GRPC_PORT", default.grpc_port)),
        http_port=int(number("PACKLINE_HTTP_PORT", default.http_port)),
        die_after=int(number(DIE_AFTER, default.die_after)),
    )
