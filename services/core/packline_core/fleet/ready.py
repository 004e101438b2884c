"""When an application can be called: Serve runs it, and the ingress knows the way to it."""

from __future__ import annotations

import time

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from packline_core.config import Settings
from packline_core.errors import Unavailable
from packline_core.fleet.api import FleetApi
from packline_core.rpc import call_metadata, error_from_call, open_channel


def wait_served(settings: Settings, *applications: str, timeout: float = 120.0) -> None:
    """Waits until each application answers a health check through the ingress, which follows Serve by a moment.

    Raises:
        FailedPrecondition: One failed to deploy.
        Unavailable: It took longer than `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    FleetApi.of(settings).wait_running(*applications, timeout=timeout)
    wait_answered(settings.address, *applications, timeout=deadline - time.monotonic())


def wait_answered(address: str, *applications: str, timeout: float = 120.0) -> None:
    """Waits until each application answers a health check at an ingress, whatever Serve's own API says.

    Raises:
        Unavailable: It took longer than `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    with open_channel(address, retries=False) as channel:
        health = HealthStub(channel)
        for application in applications:
            while True:
                try:
                    answer = health.Check(HealthCheckRequest(), metadata=call_metadata(application), timeout=5)
                    found = HealthCheckResponse.ServingStatus.Name(answer.status)
                except grpc.RpcError as error:
                    found = error_from_call(error).message
                if found == "SERVING":
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(f"application {application} does not answer: {found}", reason="NOT_READY")
                time.sleep(0.1)
