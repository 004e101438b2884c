"""The whole platform on the bed: the chart, the operator as its service account, a real Ray over the bridge."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packline_core.errors import Unavailable
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RayOptions, RunningRay, start_ray, stop_ray
from packline_operator.act import DIE_AFTER
from packline_operator.clock import OFFSET_FILE
from packline_operator.kubernetes.source import packs_path

from operators.pack.tests.local.platform import QUICK, Platform
from tests.cluster.bed import Bed
from tests.cluster.bridge import Bridge, bridged
from tests.cluster.chart import CHART, install_fleet_crd
from tests.cluster.packs import api_of, install_crd, manifest
from tests.cluster.parts import CommandFailed

OPERATOR = "packline-operator"
# How an operator ends that lost its lease (on a busy machine, or with the API server away) or found no API server when
# it started. Its Deployment starts it anew.
_STARTED_ANEW = frozenset({1, 3})


@dataclass
class ClusterPlatform(Platform):
    """What users of a namespace see; `loop` is the operator's process.

    Attributes:
        bed: The control plane.
        namespace: Of Packs, fleet and operator.
        bridge: Between the RayService and Ray.
    """

    bed: Bed = field(kw_only=True)
    namespace: str = field(kw_only=True)
    bridge: Bridge = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._api = api_of(self.bed)

    def install(self) -> None:
        """The CRD with the test's task, and the chart."""
        install_fleet_crd(self.bed)
        install_crd(self.bed, "echo")
        self.bed.create_namespace(self.namespace)
        self.upgrade()

    def upgrade(self) -> None:
        """Installs what is missing of the chart."""
        # Its CRD knows the shipped tasks alone; the one here knows echo besides.
        options = ("--skip-crds", "--set", "crds.check=false", "--set", "mlflow.enabled=false")
        self.bed.helm("upgrade", "--install", "packline", str(CHART), "-n", self.namespace, *options)

    @contextmanager
    def fleet(self) -> Iterator[None]:
        """A Ray with the token of the chart, and the bridge to it."""
        secret = self.bed.get("secret", "packline-ray-token", "-n", self.namespace)
        token = self.home / "ray" / "token"
        token.parent.mkdir(parents=True)
        token.touch(mode=0o600)
        token.write_bytes(base64.b64decode(secret["data"]["auth_token"]))
        ray = self._start_ray()
        try:
            api = FleetApi.of(ray.settings(self.settings))
            with bridged(self.bed.admin, self.namespace, ray, api) as self.bridge:
                yield
        finally:
            stop_ray(self.home, grace=1)

    def _start_ray(self) -> RunningRay:
        """Twice over, where the machine is too busy: Ray itself waits for its node for half a minute and no longer."""
        options = RayOptions(environment={"PACKLINE_PROBATION_SECONDS": "2"})
        for _ in range(2):
            try:
                return start_ray(self.settings, options)
            except Unavailable as error:
                print(f"Ray is started again: {error.message[-200:]}")
        return start_ray(self.settings, options)

    # The operator.

    def start(self, die_after: int = 0) -> subprocess.Popen[bytes]:
        self.loop = self.start_one("operator-0", die_after)
        return self.loop

    def start_one(self, pod: str, die_after: int = 0) -> subprocess.Popen[bytes]:
        """One operator, with what RBAC grants the chart's service account and no more."""
        environment = {
            **self.bed.environment(self.bed.kubeconfig(OPERATOR, self.namespace)),
            "POD_NAME": pod,
            "POD_NAMESPACE": self.namespace,
            "PACKLINE_NAMESPACES": self.namespace,
            "PACKLINE_RAY_AUTH_SECRET": "packline-ray-token",
            "PACKLINE_ADDRESS": self.ray.address,
            "PACKLINE_SERVE_API": self.ray.serve_api,
            "PACKLINE_OPERATOR_PORT": "0",
            "PACKLINE_LEASE_SECONDS": "6",
            "PACKLINE_SETTLED_SECONDS": "4",
            OFFSET_FILE: str(self.home / "offset"),
            DIE_AFTER: str(die_after),
        }
        with (self.home / "platform.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "packline_operator.kubernetes"],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def leader(self) -> str:
        """Which operator acts: its pod."""
        lease = self.bed.get("lease", OPERATOR, "-n", self.namespace)
        return str(lease["spec"].get("holderIdentity", "")).split("_")[0]

    # What users do.

    def apply(self, name: str, **spec: Any) -> None:
        self.bed.apply(manifest(name, self.namespace, **{"rollout": QUICK, "gate": {"enabled": False}} | spec))

    def delete(self, name: str) -> None:
        """Returns once it is gone."""
        self.bed.kubectl("delete", "pack", name, "-n", self.namespace, "--timeout=120s")

    def pack(self, name: str) -> dict[str, Any]:
        """The object. Raises `NotFound`."""
        return self._api.get(f"{packs_path(self.namespace)}/{name}")

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.pack(name).get("status", {})
        return status

    def ready(self, name: str) -> bool:
        pack = self.pack(name)
        conditions = {one["type"]: one["status"] for one in pack.get("status", {}).get("conditions", [])}
        current = pack.get("status", {}).get("observedGeneration") == pack["metadata"]["generation"]
        return current and conditions.get("Ready") == "True"

    def reasons(self, name: str) -> list[str]:
        return [event["reason"] for event in self.events(name)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What was told of it."""
        events, _ = self._api.list(f"/api/v1/namespaces/{self.namespace}/events")
        return [event for event in events if event["involvedObject"]["name"] == name]

    def serve_config(self) -> str:
        """What the operator wants to be served."""
        service = self.bed.get("rayservice", "packline", "-n", self.namespace)
        return str(service["spec"].get("serveConfigV2", ""))

    def wait(self, until: Any, what: str, timeout: float = 300) -> None:
        def asked() -> Any:
            if self.loop is not None and self.loop.poll() in _STARTED_ANEW:
                # It cannot be started while the API server is away, and what is waited for may happen all the same.
                with suppress(CommandFailed):
                    self.start()
            try:
                return until()
            except CommandFailed:
                return False

        super().wait(asked, what, timeout)


@contextmanager
def cluster_platform(bed: Bed, home: Path, namespace: str = "factory") -> Iterator[ClusterPlatform]:
    """A platform whose operator runs; ends whatever is left of it."""
    home.mkdir(parents=True, exist_ok=True)
    platform = ClusterPlatform(home, bed=bed, namespace=namespace)
    platform.install()
    with ExitStack() as stack:
        stack.enter_context(platform.fleet())
        platform.start()
        stack.callback(platform.kill_loop)
        yield platform
