"""Values in, values out, and the task's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from packline_core.errors import InvalidInput

Values: TypeAlias = npt.NDArray[np.float32]
MOST_VALUES = 1_000_000


def to_values(raw: Sequence[float]) -> Values:
    """Checks a request's values: at least one, at most a million, all finite."""
    if not 0 < len(raw) <= MOST_VALUES:
        raise InvalidInput(f"values: give 1 to {MOST_VALUES} numbers, got {len(raw)}", field="values")
    try:
        values = np.array(raw, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"values: not numbers: {error}", field="values") from None
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InvalidInput("values: every value must be a finite number", field="values")
    return values


def parse_values(text: bytes | str) -> Values:
    """A payload or a truth: a JSON list of numbers."""
    try:
        raw: Any = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}") from None
    if not isinstance(raw, list):
        raise InvalidInput("a list of numbers is expected")
    return to_values(raw)


def values_json(values: Values) -> str:
    """The values as a JSON list."""
    return json.dumps([float(value) for value in values])


def answer_json(values: Values) -> str:
    """The task's answer."""
    return json.dumps({"values": [float(value) for value in values]})


def parse_answer(text: str) -> Values:
    """What `answer_json` wrote."""
    return np.array(json.loads(text)["values"], dtype=np.float32)
