"""What the operator counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PASS_SECONDS = Histogram(
    "packline_operator_reconcile_seconds",
    "Seconds of one pass over the Packs of a fleet that were due.",
    ["namespace"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RECONCILED = Counter("packline_operator_reconciled_packs_total", "Looks at a Pack.", ["namespace"])
PASS_ERRORS = Counter("packline_operator_pass_errors_total", "Passes that failed as a whole.", ["namespace"])
API_ERRORS = Counter(
    "packline_operator_api_errors_total", "Answers of Kubernetes' API other than success.", ["method", "status"]
)
QUEUE = Gauge("packline_operator_queue_depth", "Packs that are due and not yet looked at.", ["namespace"])
PACKS = Gauge("packline_operator_packs", "Packs that there are.", ["namespace"])
LEADING = Gauge("packline_operator_leading", "1 where this operator is the one that acts.")
