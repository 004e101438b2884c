"""Intervals of shares, in closed form, and how sure the intervals are that Packline tells of."""

from __future__ import annotations

import math
from statistics import NormalDist

CONFIDENCE = 0.9
CONFIDENCE_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Standard deviations on either side of an interval of that confidence."""


def wilson(share: float, calls: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `calls`, one or more, `z` standard deviations wide on either side."""
    centre = share + z * z / (2 * calls)
    half = z * math.sqrt(share * (1 - share) / calls + z * z / (4 * calls * calls))
    scale = 1 + z * z / calls
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
