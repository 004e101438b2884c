"""What monitoring speaks of: predictions, corrections, error cases, replicas; and what makes each acceptable."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from packline_core.errors import InvalidInput

MAX_ID = 200
MAX_SIGNALS = 64
MAX_TRUTH = 4 << 20
MAX_CASES = 1000
MAX_SKEW = timedelta(minutes=5)
_PACK = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_LATENCY = 86_400.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """One call that a version answered, or failed.

    Attributes:
        prediction_id: Chosen by the replica; the same id twice counts once.
        pack: The Pack that was asked.
        model_version: The version that answered.
        at: When, UTC.
        latency: Seconds.
        code: A `google.rpc.Code`; 0 is OK.
        reason: An error's reason.
        signals: The task's numbers about request and answer.
        shadow_of: Active's prediction, where the candidate read a copy of its request.
        agreement: With active's answer, 0 to 1; means nothing unless the shadow answered.
        payload: What was sent; empty where it is not kept.
        answer_json: The answer in the task's JSON; empty where the payload is.
    """

    prediction_id: str
    pack: str
    model_version: str
    at: datetime
    latency: float
    code: int = 0
    reason: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)
    shadow_of: str = ""
    agreement: float = 0.0
    payload: bytes = b""
    answer_json: str = ""

    @property
    def shadow(self) -> bool:
        """Whether a caller never saw it."""
        return bool(self.shadow_of)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: predictions that were new, and payloads that the full store did not take."""

    recorded: int
    payloads_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Correction:
    """The truth that a user gives for one prediction, or for a payload of their own.

    Attributes:
        pack: The Pack.
        correction_id: Chosen by the caller; makes it idempotent.
        truth_json: In the task's own JSON.
        prediction_id: Empty where only a payload is given.
        payload: What had been sent, where monitoring may not have kept it.
        page: Counted from 1.
    """

    pack: str
    correction_id: str
    truth_json: str
    prediction_id: str = ""
    payload: bytes = b""
    page: int = 1


@dataclass(frozen=True, slots=True)
class Corrected:
    """A correction's answer: how many the Pack has, whether this one is new, and whose truth it took the place of."""

    corrections: int
    created: bool
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class ErrorCase:
    """A correction with what was predicted; `model_version` and `answer_json` are empty where no record is kept."""

    sequence: int
    correction_id: str
    prediction_id: str
    model_version: str
    corrected_at: datetime
    truth_json: str
    answer_json: str
    payload_digest: str
    page: int


@dataclass(frozen=True, slots=True)
class Traces:
    """What to erase: a prediction, or all that is kept of one payload. One of the two is empty."""

    pack: str
    prediction_id: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure removed, and whether training has yet to remove its part."""

    removed: int
    pending_in_training: bool = False


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What monitoring must know of a Pack: its task, and how long payloads without a correction are kept."""

    task: str
    retention: timedelta


class SlotState(IntEnum):
    """What a replica's slot holds; the values are those of the proto."""

    UNSPECIFIED = 0
    EMPTY = 1
    LOADING = 2
    READY = 3
    REFUSED = 4
    QUARANTINED = 5


@dataclass(frozen=True, slots=True)
class Slot:
    """One of a replica's two slots; `reason` and `message` say why a bundle was refused."""

    state: SlotState
    version: str = ""
    digest: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica's own account of itself; `reported_at` is when it reached monitoring, by monitoring's clock."""

    pack: str
    replica_id: str
    node: str
    active: Slot
    candidate: Slot
    reported_at: datetime


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
    if prediction.answer_json and not prediction.payload:
        changes["answer_json"] = ""
    return replace(prediction, **changes) if changes else prediction


def _is_signal(name: str, value: float) -> bool:
    return math.isfinite(value) and 0 < len(name) <= MAX_ID and name.isprintable()
