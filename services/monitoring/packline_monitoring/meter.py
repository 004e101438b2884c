"""Metrics for Prometheus: a port, and its adapters for a Ray cluster and for a process of its own.

Within Ray, `ray.util.metrics` hands them to the node's metrics agent, which Ray's service discovery file names to
Prometheus (`ray_packline_predictions_total`, …); elsewhere `prometheus_client`'s registry has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram

from packline_monitoring.domain import Prediction
from packline_monitoring.figures import CODE_NAMES

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PREDICTIONS = ("packline_predictions", "Predictions recorded.", ("pack", "model_version", "code", "shadow"))
LATENCY = ("packline_prediction_latency_seconds", "Latency of answers.", ("pack", "model_version", "shadow"))
CORRECTIONS = ("packline_corrections", "Corrections taken in.", ("pack",))
DROPPED = ("packline_predictions_dropped", "Predictions that replicas could not deliver.", ("pack",))
LOST = ("packline_payloads_dropped", "Payloads that the store had no room for.", ("pack",))


Metric = tuple[str, str, tuple[str, ...]]


class Meter(Protocol):
    """Where counts go."""

    def count(self, metric: Metric, labels: Mapping[str, str], by: int = 1) -> None:
        """Adds to a counter; `by` is at least 1."""

    def observe(self, metric: Metric, labels: Mapping[str, str], seconds: Sequence[float]) -> None:
        """Adds to a histogram with the bounds `SECONDS`."""


class PrometheusMeter:
    """Counts into a registry of `prometheus_client`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            name: Counter(name, text, labels, registry=registry)
            for name, text, labels in (PREDICTIONS, CORRECTIONS, DROPPED, LOST)
        }
        name, text, labels = LATENCY
        self._latency = Histogram(name, text, labels, registry=registry, buckets=SECONDS)

    def count(self, metric: Metric, labels: Mapping[str, str], by: int = 1) -> None:
        """Adds to a counter."""
        self._counters[metric[0]].labels(**labels).inc(by)

    def observe(self, metric: Metric, labels: Mapping[str, str], seconds: Sequence[float]) -> None:
        """Adds to the latency histogram."""
        histogram = self._latency.labels(**labels)
        for value in seconds:
            histogram.observe(value)


def count_predictions(meter: Meter, predictions: Iterable[Prediction]) -> None:
    """Counts predictions that were recorded; latencies of those answered OK."""
    groups: dict[tuple[str, str, bool, int], list[float]] = defaultdict(list)
    for p in predictions:
        groups[p.pack, p.model_version, p.shadow, p.code].append(p.latency)
    for (pack, version, shadow, code), latencies in groups.items():
        labels = {"pack": pack, "model_version": version, "shadow": str(shadow).lower()}
        meter.count(PREDICTIONS, {**labels, "code": CODE_NAMES[code]}, len(latencies))
        if code == 0:
            meter.observe(LATENCY, labels, latencies)
