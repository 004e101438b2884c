"""What is acceptable, what is put right rather than refused, and what is refused with its field's name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from packline_core.errors import InvalidInput

from packline_monitoring.domain import Correction, Prediction, Traces

MAX_ID = 200
MAX_SIGNALS = 64
MAX_TRUTH = 4 << 20
MAX_SKEW = timedelta(minutes=5)
_PACK = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_LATENCY = 86_400.0


def check_pack(name: str, field_name: str = "pack") -> str:
    """A Pack's name; raises `InvalidInput`."""
    if not _PACK.fullmatch(name):
        raise InvalidInput(
            f"{field_name}: {name[:MAX_ID]!r} is no Pack's name; it has lower-case letters, digits and inner hyphens",
            field=field_name,
        )
    return name


def check_id(value: str, field_name: str) -> str:
    """An identifier; raises `InvalidInput` where it is empty, long or holds a control character."""
    if not value or len(value) > MAX_ID or not value.isprintable():
        raise InvalidInput(
            f"{field_name}: give 1 to {MAX_ID} printable characters, not {value[:MAX_ID]!r}", field=field_name
        )
    return value


def check_digest(value: str, field_name: str) -> str:
    """A payload's digest; raises `InvalidInput`."""
    if not _DIGEST.fullmatch(value):
        raise InvalidInput(f"{field_name}: {value[:MAX_ID]!r} is not of the form sha256:<64 hex>", field=field_name)
    return value


def check_predictions(predictions: Sequence[Prediction], now: datetime) -> list[Prediction]:
    """Predictions as they are recorded: without repeats, without numbers that would spoil a mean, none from the future.

    Raises:
        InvalidInput: Naming the prediction and field that could never be recorded; none of the batch is.
    """
    checked: dict[tuple[str, str], Prediction] = {}
    for index, prediction in enumerate(predictions):
        where = f"predictions[{index}]"
        check_pack(prediction.pack, f"{where}.pack")
        check_id(prediction.prediction_id, f"{where}.prediction_id")
        check_id(prediction.model_version, f"{where}.model_version")
        if prediction.shadow_of:
            check_id(prediction.shadow_of, f"{where}.shadow_of")
        if not 0 <= prediction.code <= 16:
            raise InvalidInput(f"{where}.code: {prediction.code} is no google.rpc.Code", field=f"{where}.code")
        if "\0" in prediction.answer_json:
            raise InvalidInput(f"{where}.answer_json holds a NUL character", field=f"{where}.answer_json")
        key = (prediction.pack, prediction.prediction_id)
        checked.setdefault(key, _clean(prediction, now))
    return list(checked.values())


def check_correction(correction: Correction) -> None:
    """Raises `InvalidInput` for what no task could accept."""
    check_pack(correction.pack)
    check_id(correction.correction_id, "correction_id")
    if correction.prediction_id:
        check_id(correction.prediction_id, "prediction_id")
    elif not correction.payload:
        raise InvalidInput(
            "prediction_id: name the prediction that this corrects, or send the payload itself", field="prediction_id"
        )
    if not correction.truth_json or "\0" in correction.truth_json:
        raise InvalidInput("truth_json: give the truth in the task's own JSON", field="truth_json")
    if len(correction.truth_json.encode()) > MAX_TRUTH:
        raise InvalidInput(f"truth_json: more than {MAX_TRUTH >> 20} MiB", field="truth_json")
    if correction.page > 1_000_000:
        raise InvalidInput(f"page: {correction.page} is out of range", field="page")


def check_traces(traces: Traces) -> None:
    """Raises `InvalidInput` where it is not one prediction or one payload."""
    check_pack(traces.pack)
    if bool(traces.prediction_id) == bool(traces.digest):
        raise InvalidInput("name prediction_id or payload_digest, one of the two", field="prediction_id")
    if traces.prediction_id:
        check_id(traces.prediction_id, "prediction_id")
    else:
        check_digest(traces.digest, "payload_digest")


def _clean(prediction: Prediction, now: datetime) -> Prediction:
    changes: dict[str, Any] = {}
    if prediction.at > now + MAX_SKEW:
        # A clock that runs ahead would put the call outside every window until then.
        changes["at"] = now
    if not 0 <= prediction.latency <= _MAX_LATENCY:
        changes["latency"] = min(max(prediction.latency, 0.0), _MAX_LATENCY)
    if not prediction.reason.isprintable() or len(prediction.reason) > MAX_ID:
        changes["reason"] = "".join(filter(str.isprintable, prediction.reason))[:MAX_ID]
    if len(prediction.signals) > MAX_SIGNALS or not all(
        _is_signal(name, value) for name, value in prediction.signals.items()
    ):
        items = sorted(prediction.signals.items())
        changes["signals"] = dict([item for item in items if _is_signal(*item)][:MAX_SIGNALS])
    if not 0 <= prediction.agreement <= 1:
        changes["agreement"] = min(max(prediction.agreement, 0.0), 1.0) if math.isfinite(prediction.agreement) else 0.0
    if prediction.answer_json and not prediction.payload and not prediction.shadow:
        changes["answer_json"] = ""
    return replace(prediction, **changes) if changes else prediction


def _is_signal(name: str, value: float) -> bool:
    return math.isfinite(value) and 0 < len(name) <= MAX_ID and name.isprintable()
