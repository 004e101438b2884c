"""Durations, percentages and shares of a GPU as manifests write them: `10m`, `6h`, `0.5%`, `"0.25"`.

They are text, since a Kubernetes spec holds no floats. Each form is one pattern, which the command line and Kubernetes'
API server check alike.
"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

_DURATION = "^([0-9]{1,8}d)?([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,8}s)?$"
_PERCENT = r"^([0-9]{1,2}(\.[0-9]{1,3})?|100(\.0{1,3})?)%$"
_GPUS = r"^(0(\.[0-9]{1,4})?|[1-9][0-9]?)$"
_LONGEST_DURATION = 20


def parse_duration(text: str) -> timedelta:
    """`1h30m` as a timedelta; raises ValueError with the form that is expected."""
    match = re.fullmatch(_DURATION, text)
    if not text or len(text) > _LONGEST_DURATION or match is None:
        raise ValueError(f"{text!r} is no duration; write it like 30s, 10m, 6h or 1d12h")
    days, hours, minutes, seconds = (int((part or "0 ")[:-1]) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_percent(text: str) -> float:
    """`0.5%` as 0.005; raises ValueError with the form that is expected."""
    if not re.fullmatch(_PERCENT, text):
        raise ValueError(f"{text!r} is no percentage; write it like 20% or 0.5%, from 0% to 100%")
    return float(text[:-1]) / 100


def parse_gpus(text: str) -> float:
    """`0.25` as 0.25; raises ValueError with the form that is expected."""
    if not re.fullmatch(_GPUS, text):
        raise ValueError(f'{text!r} is no number of GPUs; write it like "0", "0.25", "1" or "2"')
    return float(text)


def _checked_duration(text: str) -> str:
    parse_duration(text)
    return text


def _checked_percent(text: str) -> str:
    parse_percent(text)
    return text


def _checked_gpus(text: str) -> str:
    parse_gpus(text)
    return text


Duration = Annotated[
    str,
    AfterValidator(_checked_duration),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _LONGEST_DURATION, "pattern": _DURATION}),
]
Percent = Annotated[
    str, AfterValidator(_checked_percent), WithJsonSchema({"type": "string", "maxLength": 8, "pattern": _PERCENT})
]
Gpus = Annotated[
    str, AfterValidator(_checked_gpus), WithJsonSchema({"type": "string", "maxLength": 6, "pattern": _GPUS})
]
