"""The Ray Serve application of an echo Pack."""

from __future__ import annotations

from collections.abc import Mapping

from packline_core.fleet.schema import DEPLOYMENT
from ray import serve

from packline_echo.servicer import EchoServicer

EchoReplica = serve.deployment(name=DEPLOYMENT)(EchoServicer)


def build(args: Mapping[str, str]) -> serve.Application:
    """Binds the application of `args["pack"]`."""
    return EchoReplica.bind(args["pack"], args["task"])
