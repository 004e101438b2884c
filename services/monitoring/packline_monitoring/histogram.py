"""Latency histograms that merge by addition: bins grow by a constant factor, so that a quantile has a relative error.

The bins are those of DDSketch (Masson, Rim and Lee, VLDB 2019, arXiv:1908.10693) with a relative accuracy of 1 %.
"""

import math
from collections.abc import Mapping

ACCURACY = 0.01
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
# Shorter times share the lowest bin.
_SHORTEST = 1e-6


def bin_of(seconds: float) -> int:
    """The bin that a latency falls into."""
    return math.ceil(math.log(max(seconds, _SHORTEST)) / _LOG_GAMMA)


def middle(bin_index: int) -> float:
    """Seconds that stand for a bin: within 1 % of every latency in it."""
    return 2 * _GAMMA**bin_index / (_GAMMA + 1)


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The latency in seconds that `share` of the calls stay below; None without calls.

    Args:
        bins: Calls by bin.
        share: 0.5 for the median.
    """
    total = sum(bins.values())
    if not total:
        return None
    rank = math.ceil(share * total)
    seen = 0
    for index in sorted(bins):
        seen += bins[index]
        if seen >= rank:
            return middle(index)
    raise AssertionError("unreachable: the counts sum to the total")
