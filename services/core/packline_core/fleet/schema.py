"""The one declarative configuration of a fleet (Serve's `ServeDeploySchema`), built from plain facts.

The same dictionary is PUT to Ray's REST API on one machine and becomes `serveConfigV2` of a `RayService` on Kubernetes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.serving.config import ServingConfig
from packline_core.task import get_task, task_names

# The deployment of every Pack's application; a task's `app.py` binds its replica under this name.
DEPLOYMENT = "replica"

_OWN_SERVICERS = (
    "packline.training.v1.training_pb2_grpc.add_DatasetServiceServicer_to_server",
    "packline.training.v1.training_pb2_grpc.add_RunServiceServicer_to_server",
    "packline.training.v1.training_pb2_grpc.add_RegistryServiceServicer_to_server",
    "packline.monitoring.v1.monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server",
    "grpc_health.v1.health_pb2_grpc.add_HealthServicer_to_server",
)
_IMPORT_PATHS = {
    TRAINING_APPLICATION: "packline_training.app:build",
    MONITORING_APPLICATION: "packline_monitoring.app:build",
}
# Serve's own bound on calls answers without RetryInfo; the batcher's is to be met first, so this one lies above it.
_ONGOING = 2_000
# Serve makes a line of every call before it drops it, except where its level is above INFO.
_LOGGING = {"enable_access_log": False, "log_level": "WARNING"}


@dataclass(frozen=True, slots=True)
class Network:
    """How the fleet is reached.

    Attributes:
        grpc_port: The gRPC ingress.
        http_port: Serve's HTTP ingress, of which Packline makes no use.
        host: Interface of both.
        proxies: An ingress on every node, or on the head alone.
    """

    grpc_port: int = 9000
    http_port: int = 8000
    host: str = "127.0.0.1"
    proxies: Literal["HeadOnly", "EveryNode"] = "HeadOnly"


@dataclass(frozen=True, slots=True)
class PackApplication:
    """A Pack of the fleet.

    Attributes:
        serving: What its replicas are told.
        pool: The pool whose nodes may run them; each of its nodes offers the resource `pool_<name>`.
        min_replicas: 0 lets an idle Pack sleep.
        max_replicas: No more than this under load.
        gpus: Share of a GPU for each replica.
    """

    serving: ServingConfig
    pool: str = "default"
    min_replicas: int = 1
    max_replicas: int = 1
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """A whole fleet.

    Attributes:
        packs: Its Packs.
        services: Which of `packline-training` and `packline-monitoring` run in it.
        network: How it is reached.
    """

    packs: Sequence[PackApplication] = ()
    services: Sequence[str] = (TRAINING_APPLICATION, MONITORING_APPLICATION)
    network: Network = field(default_factory=Network)


def servicer_functions() -> list[str]:
    """Every gRPC servicer that this installation knows. Serve reads them once, when it starts: a new task plug-in
    means one restart of the fleet.
    """
    tasks = [servicer for name in task_names() for servicer in get_task(name).grpc_servicers]
    return sorted({*_OWN_SERVICERS, *tasks})


def build_config(fleet: Fleet) -> dict[str, Any]:
    """The configuration as plain values, ready for JSON; the same fleet always gives the same dictionary.

    Raises:
        NotFound: A Pack's task is not installed.
    """
    network = fleet.network
    packs = sorted(fleet.packs, key=lambda pack: pack.serving.pack)
    return {
        "proxy_location": network.proxies,
        "http_options": {"host": network.host, "port": network.http_port},
        "grpc_options": {
            "port": network.grpc_port,
            "grpc_servicer_functions": servicer_functions(),
            "enable_reflection": True,
        },
        "logging_config": _LOGGING,
        "applications": [_service(name) for name in sorted(fleet.services)]
        + [pack_application(pack) for pack in packs],
    }


def _service(name: str) -> dict[str, Any]:
    return {"name": name, "route_prefix": f"/{name}", "import_path": _IMPORT_PATHS[name], "logging_config": _LOGGING}


def pack_application(pack: PackApplication) -> dict[str, Any]:
    """One Pack's entry of `applications`: what the loop compares with what stands in the fleet.

    Raises:
        NotFound: The Pack's task is not installed.
    """
    serving = pack.serving
    deployment: dict[str, Any] = {
        "name": DEPLOYMENT,
        "user_config": serving.to_user_config(),
        "max_ongoing_requests": _ONGOING,
        "graceful_shutdown_timeout_s": 20.0,
        "graceful_shutdown_wait_loop_s": 0.5,
        "health_check_period_s": 5.0,
        "health_check_timeout_s": 30.0,
        # Threads are the session's affair, so a replica claims no CPU: many idle Packs fit on one node.
        "ray_actor_options": {"num_cpus": 0, "num_gpus": pack.gpus, "resources": {f"pool_{pack.pool}": 0.001}},
    }
    if pack.min_replicas == pack.max_replicas:
        deployment["num_replicas"] = pack.min_replicas
    else:
        deployment["autoscaling_config"] = {
            "min_replicas": pack.min_replicas,
            "initial_replicas": pack.min_replicas,
            "max_replicas": pack.max_replicas,
            "target_ongoing_requests": max(1, serving.limits.max_queue // 4),
            "downscale_delay_s": 300,
        }
    return {
        "name": serving.pack,
        "route_prefix": f"/{serving.pack}",
        "import_path": get_task(serving.task).application,
        "args": {"pack": serving.pack, "task": serving.task},
        "deployments": [deployment],
        "logging_config": _LOGGING,
    }
