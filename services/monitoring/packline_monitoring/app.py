"""The Ray Serve binding of monitoring: `packline_monitoring.app:build`.

There is one replica, since arrival and removal of payloads are told apart in its memory (`payloads.py`); what it has
acknowledged is on disk, so that it may be killed and started anew at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from packline_core.config import load_settings
from packline_core.store import ObjectStore
from ray import serve
from ray.util.metrics import Counter, Histogram

from packline_monitoring.engine import Monitoring
from packline_monitoring.meter import CORRECTIONS, DROPPED, LATENCY, LOST, PREDICTIONS, SECONDS, Metric
from packline_monitoring.servicer import MonitoringServicer
from packline_monitoring.tables import open_database
from packline_monitoring.training import GrpcTraining


class RayMeter:
    """Counts into Ray's metrics agent, which exports them as `ray_packline_…` on each node's metrics port."""

    def __init__(self) -> None:
        self._counters = {
            name: Counter(name, description=text, tag_keys=labels)
            for name, text, labels in (PREDICTIONS, CORRECTIONS, DROPPED, LOST)
        }
        name, text, labels = LATENCY
        self._latency = Histogram(name, description=text, boundaries=list(SECONDS), tag_keys=labels)

    def count(self, metric: Metric, labels: Mapping[str, str], by: int = 1) -> None:
        """Adds to a counter."""
        self._counters[metric[0]].inc(by, tags=dict(labels))

    def observe(self, metric: Metric, labels: Mapping[str, str], seconds: Sequence[float]) -> None:
        """Adds to the latency histogram."""
        tags = dict(labels)
        for value in seconds:
            self._latency.observe(value, tags=tags)


class MonitoringReplica(MonitoringServicer):
    """The service in a fleet, set up by the environment (`packline_core.config`)."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it
        settings = load_settings()
        database = await asyncio.to_thread(open_database, settings.monitoring_database)
        monitoring = Monitoring(
            database=database,
            store=ObjectStore(settings.store),
            training=GrpcTraining(settings.address),
            meter=RayMeter(),
            clock=lambda: datetime.now(UTC),
        )
        super().__init__(monitoring)
        monitoring.start()


Deployment = serve.deployment(
    name="monitoring",
    num_replicas=1,
    max_ongoing_requests=1000,
    graceful_shutdown_timeout_s=20.0,
    graceful_shutdown_wait_loop_s=0.5,
    # On the head, where the home is kept: worker nodes come and go with their pools.
    ray_actor_options={"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}},
)(MonitoringReplica)


def build(args: Mapping[str, str]) -> serve.Application:
    """Binds the application. It takes no arguments; all settings come from the environment."""
    return Deployment.bind()
