"""What monitoring speaks of: predictions, corrections, error cases, replicas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from packline_core.task import Count


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
        answer_json: The answer in the task's JSON; empty where the payload is, but for a shadow's.
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


NOTHING = Count(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a user did with one answer.

    Attributes:
        version: Who answered.
        group: The user, as far as the task knows.
        hit: Whether something of the answer was taken.
        shadow: Who read the call in shadow; empty where nobody did.
        shown: What the answer is worth beside the shadow's.
        other: What the shadow's would have been.
    """

    version: str
    group: str
    hit: bool
    shadow: str = ""
    shown: Count = NOTHING
    other: Count = NOTHING


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
