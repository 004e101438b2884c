"""What a report is made of: plain values that the demo fills in, with nothing of the platform in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

Points = tuple[tuple[float, float], ...]
"""Four corners in pixels of the page, clockwise from the upper left of the text."""
MomentKind = Literal[
    "serving", "correction", "training", "gate", "shadow", "canary", "promoted", "refused", "rolled_back"
]


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text on a page: the truth, or as it was read (then with its confidence, 0 to 1)."""

    points: Points
    text: str
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A page as one model version read it, in how many seconds."""

    model_version: str
    lines: tuple[TextLine, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class PageFacts:
    """A page: its picture, what was read before and after retraining, the truth where there is one."""

    image: Path
    before: Reading
    after: Reading | None = None
    truth: tuple[TextLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ModelScore:
    """How well one model version reads the labelled pages.

    Attributes:
        label: for people, such as `before`.
        model_version: such as v2.
        cer: characters read wrongly as a share of all, 0 to 1.
        exact: share of lines without an error, 0 to 1.
        pages: scored.
        pages_per_second: through the serving path; None where it was not measured.
    """

    label: str
    model_version: str
    cer: Figure
    exact: Figure | None
    pages: int
    pages_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened in the life of a Pack, told in one sentence."""

    at: datetime
    kind: MomentKind
    message: str


@dataclass(frozen=True, slots=True)
class Share:
    """From `at` on, each version answers this percentage of the calls."""

    at: datetime
    percent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """The life of one Pack during the demo."""

    pack: str
    started_at: datetime
    ended_at: datetime
    moments: tuple[Moment, ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Learning:
    """What was corrected, and how long it took to learn from it.

    Attributes:
        corrected_pages: pages for which a truth was given.
        golden_pages: of these, pages kept aside to judge the new model.
        training_seconds: of the training run.
        seconds_to_active: from the last correction to the new version's promotion; None if it was not promoted.
    """

    corrected_pages: int
    golden_pages: int
    training_seconds: float
    seconds_to_active: float | None = None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Calls made while the versions changed, and how many of them failed."""

    calls: int
    failed: int
    by_version: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Safeguard:
    """A harmful change that was tried on purpose: what was done, what Packline did, whether that was right."""

    title: str
    tried: str
    happened: str
    held: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole report.

    Attributes:
        pack: its name.
        made_at: when the demo ended.
        seconds: that the demo took.
        machine: in words, such as `2 CPU cores, no GPU`.
        data_note: what the documents are, in plain sentences.
        pages: that were read and, where labelled, scored; none of them was corrected or trained on.
        before: score before retraining; None where there are no labels.
        after: score after it; None where nothing was promoted.
        others: further models scored on the same pages.
        learning: None where the demo did not retrain.
        traffic: during the rollout.
        timelines: one a Pack.
        safeguards: tried ones.
    """

    pack: str
    made_at: datetime
    seconds: float
    machine: str
    data_note: str
    pages: tuple[PageFacts, ...]
    before: ModelScore | None = None
    after: ModelScore | None = None
    others: tuple[ModelScore, ...] = ()
    learning: Learning | None = None
    traffic: Traffic | None = None
    timelines: tuple[Timeline, ...] = ()
    safeguards: tuple[Safeguard, ...] = ()
