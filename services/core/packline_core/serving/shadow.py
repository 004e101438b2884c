"""How much of a replica's time a candidate in shadow may take."""

from __future__ import annotations

import time
from collections.abc import Callable

_SHARE = 0.1
_MOST = 2.0


class ShadowBudget:
    """Lets a shadow take a tenth of the time of a replica that is never idle, so that a rollout goes on under load.

    Args:
        clock: Seconds, rising.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._credit = _MOST
        self._at = clock()

    def allows(self) -> bool:
        """Whether there is credit left."""
        now = self._clock()
        self._credit = min(_MOST, self._credit + _SHARE * (now - self._at))
        self._at = now
        return self._credit > 0

    def spend(self, seconds: float) -> None:
        """Takes what a shadow took; the debt is bounded, so that idle times are not paid for later."""
        self._credit = max(-_MOST, self._credit - seconds)
