"""Waiting for what a cluster does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.cluster.parts import CommandFailed

_T = TypeVar("_T")


def wait(until: Callable[[], _T], what: str, timeout: float = 180, tell: Callable[[], str] = lambda: "") -> _T:
    """Asks again and again until the answer is true, and gives it; kubectl's refusals count as not yet.

    Raises:
        AssertionError: Not within `timeout` seconds; with the last refusal and what `tell` says.
    """
    deadline, refusal = time.monotonic() + timeout, ""
    while True:
        try:
            if answer := until():
                return answer
        except CommandFailed as error:
            refusal = str(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout:.0f} s\n{refusal}\n{tell()}")
        time.sleep(0.2)
