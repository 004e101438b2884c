"""Durations and percentages as manifests write them: `10m`, `6h`, `0.5%`.

They are text, since a Kubernetes spec holds no floats.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_PERCENT = re.compile(r"\d{1,3}(?:\.\d{1,3})?%")


def parse_duration(text: str) -> timedelta:
    """`1h30m` as a timedelta; raises ValueError with the form that is expected."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is no duration; write it like 30s, 10m, 6h or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


def parse_percent(text: str) -> float:
    """`0.5%` as 0.005; raises ValueError with the form that is expected."""
    if not _PERCENT.fullmatch(text) or float(text[:-1]) > 100:
        raise ValueError(f"{text!r} is no percentage; write it like 20% or 0.5%, from 0% to 100%")
    return float(text[:-1]) / 100


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


def _checked_percent(text: str) -> str:
    parse_percent(text)
    return text


Duration = Annotated[str, StringConstraints(max_length=20), AfterValidator(_checked_duration)]
Percent = Annotated[str, StringConstraints(max_length=8), AfterValidator(_checked_percent)]
