"""A real fleet for tests: a Ray of its own in a temporary home, echo Packs in it, and clients that call them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
from packline.echo.v1.echo_pb2_grpc import EchoServiceStub
from packline_core.bundle import Bundle
from packline_core.config import Settings, load_settings
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RayOptions, RunningRay, start_ray, stop_ray
from packline_core.fleet.ready import wait_served
from packline_core.fleet.schema import Fleet, Network, PackApplication, build_config
from packline_core.rpc import open_channel
from packline_core.serving.config import Candidate, Limits, Recording, ServingConfig, Version


@dataclass
class RunningFleet:
    """A fleet that runs, and the Packs that were put into it.

    Attributes:
        settings: With the addresses that it really has.
        ray: Where it runs.
        packs: What it serves now, by name.
        services: `packline-training`, `packline-monitoring`, where wanted.
    """

    settings: Settings
    ray: RunningRay
    packs: dict[str, PackApplication] = field(default_factory=dict)
    services: tuple[str, ...] = ()

    @property
    def api(self) -> FleetApi:
        """Its REST API."""
        return FleetApi.of(self.settings)

    def put(self, *packs: PackApplication, wait: bool = True) -> None:
        """Adds or changes Packs, and waits until they run."""
        self.packs.update({pack.serving.pack: pack for pack in packs})
        self._apply()
        if wait:
            wait_served(self.settings, *self.packs, *self.services)

    def change(self, pack: str, *, wait: bool = False, **serving: object) -> None:
        """Changes what a Pack's replicas are told: `active`, `candidate`, …"""
        before = self.packs[pack]
        self.put(replace(before, serving=replace(before.serving, **serving)), wait=wait)  # type: ignore[arg-type]

    def remove(self, *names: str, wait: bool = True) -> None:
        """Deletes Packs."""
        for name in names:
            del self.packs[name]
        self._apply()
        if wait:
            self.api.wait_running(*self.packs)

    def channel(self, *, retries: bool = False) -> grpc.Channel:
        """A channel to the ingress, by default one that hides no failure."""
        return open_channel(self.settings.address, retries=retries)

    @contextmanager
    def echo(self, *, retries: bool = False) -> Iterator[EchoServiceStub]:
        """A client of EchoService."""
        with self.channel(retries=retries) as channel:
            yield EchoServiceStub(channel)

    def _apply(self) -> None:
        network = Network(grpc_port=self.ray.ports.grpc, http_port=self.ray.ports.http)
        self.api.put(build_config(Fleet(tuple(self.packs.values()), self.services, network)))


@contextmanager
def running_fleet(
    home: Path, *, environment: Mapping[str, str] | None = None, services: tuple[str, ...] = ()
) -> Iterator[RunningFleet]:
    """Starts a Ray with no Packs in it, and ends it.

    Args:
        home: An empty folder.
        environment: Further variables for its processes.
        services: Which of Packline's own applications run in it.
    """
    settings = load_settings(
        {"PACKLINE_HOME": str(home), "PACKLINE_ADDRESS": "127.0.0.1:0", "PACKLINE_SERVE_API": "http://127.0.0.1:0"}
    )
    ray = start_ray(settings, RayOptions(environment=environment or {}))
    try:
        yield RunningFleet(ray.settings(settings), ray, services=services)
    finally:
        stop_ray(home, grace=3.0)


def echo_pack(
    name: str,
    active: Bundle | Version | None,
    *,
    candidate: Candidate | None = None,
    replicas: int = 1,
    limits: Limits | None = None,
    recording: bool = False,
) -> PackApplication:
    """An echo Pack as the fleet is told of it."""
    serving = ServingConfig(
        pack=name,
        task="echo",
        active=version_of(active) if isinstance(active, Bundle) else active,
        candidate=candidate,
        recording=Recording(enabled=recording),
        limits=limits or Limits(threads=1),
    )
    return PackApplication(serving, min_replicas=replicas, max_replicas=replicas)


def version_of(bundle: Bundle, version: str = "v1") -> Version:
    """A bundle on this machine's disk, as a version."""
    return Version(version, bundle.digest, f"file://{bundle.folder}")


def candidate_of(bundle: Bundle, version: str = "v2", *, weight: int = 0, shadow: bool = False) -> Candidate:
    """A bundle on this machine's disk, as a candidate."""
    return Candidate(version, bundle.digest, f"file://{bundle.folder}", weight, shadow)
