"""Popularity, in which recent events count more."""

from __future__ import annotations

import numpy as np

from packline_recommendation.domain import Floats, Log

RECENCIES = (0.0, 3.0, 10.0, 30.0, 100.0)
"""Decays over the whole span of a log that are worth a try: 3 leaves a twentieth of the oldest event's weight."""


def popularity(log: Log, recency: float) -> Floats:
    """log(1 + decayed weight) of each item, float32 (items,); 0 for an item without events.

    Args:
        log: Events.
        recency: Decay over the log's span: an event at its beginning counts exp(-recency). A log that only orders
            each user's events has no recency, and every event counts alike.
    """
    shares = log.weight.astype(np.float64)
    if log.timed and len(log):
        newest, oldest = int(log.time.max()), int(log.time.min())
        shares = shares * np.exp(-recency * (newest - log.time) / max(newest - oldest, 1))
    return np.log1p(np.bincount(log.item, shares, minlength=len(log.items))).astype(np.float32)
