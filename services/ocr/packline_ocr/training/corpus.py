"""All that a trial trains and validates on: crops of lines, held-out pages, characters to learn, what a user must know.

Documents are held out as a whole, by a hash of their name, so that a page never validates what its sister taught.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from packline_core.errors import InvalidInput

from packline_ocr.domain import Image, LabelledLine, Quad
from packline_ocr.recognition import cut
from packline_ocr.settings import RecogniserSettings
from packline_ocr.training.lines import LabelledPage, Sample, samples_of

HELD_OUT = 0.15  # share of the documents
_FEWEST_TO_HOLD_OUT = 4  # documents: with fewer, holding one out costs more than it tells
_SPARE = 3  # documents
_OFTEN_ENOUGH = 5  # times that a new character is seen before it is learned
_MOST_SAMPLES = 60_000  # crops kept: about 1 GB
_NAMED = 10  # characters or texts named in a note


@dataclass(frozen=True, slots=True, eq=False)
class JudgingPage:
    """A page that judges: its truth, and the lines that the detector found on it."""

    truth: Sequence[LabelledLine]
    quads: Sequence[Quad]
    crops: Sequence[Image]


@dataclass(frozen=True, slots=True)
class Corpus:
    """What `gather` makes of labelled pages.

    Attributes:
        samples: Crops to train on.
        held_out: Crops of the judging pages, where those are held out.
        judging: Pages to judge by.
        unseen: Whether documents are held out; else there are too few, and those that judge are trained on as well.
        new_characters: To be added to the dictionary.
        notes: For the user, in sentences.
    """

    samples: Sequence[Sample]
    held_out: Sequence[Sample]
    judging: Sequence[JudgingPage]
    unseen: bool
    new_characters: tuple[str, ...]
    notes: tuple[str, ...]


def gather(
    pages: Iterable[LabelledPage],
    documents: Iterable[str],
    detect: Callable[[Image], Sequence[Quad]],
    settings: RecogniserSettings,
    characters: Sequence[str],
) -> Corpus:
    """Cuts labelled pages into what training needs.

    Args:
        pages: Labelled pages, decoded one at a time.
        documents: The names of all their documents.
        detect: The detector that will serve.
        settings: Of the recogniser that will serve.
        characters: Its dictionary.

    Raises:
        InvalidInput: No line of any page can be learned from.
    """
    names = sorted(set(documents), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    wanted = max(round(HELD_OUT * len(names)), 1) if len(names) >= _FEWEST_TO_HOLD_OUT else 0
    # Some more than wanted: a page that cannot be read, or holds no text, judges nothing.
    candidates = names[: wanted + _SPARE] if wanted else names
    notes: list[str] = []
    samples: list[Sample] = []
    judging: dict[str, list[JudgingPage]] = defaultdict(list)
    for page in pages:
        quads = list(detect(page.pixels))
        if page.document in candidates and any(line.text.strip() for line in page.lines):
            crops = [cut(page.pixels, quad, settings) for quad in quads]
            judging[page.document].append(JudgingPage(page.lines, quads, crops))
        samples += samples_of(page, quads, settings)
        if len(samples) >= _MOST_SAMPLES:
            notes.append(f"Only the first {len(samples)} crops of lines are trained on; more do not fit the memory.")
            break
    held_out = [name for name in candidates if name in judging][:wanted]
    judges = held_out if wanted else list(judging)
    if not wanted:
        notes.append(
            f"With {len(names)} document{'s' if len(names) > 1 else ''} none is held out: the figures are of pages that"
            f" were trained on. Correct at least {_FEWEST_TO_HOLD_OUT} documents for figures to rely on."
        )
    samples = _without_contradictions(samples, notes)
    new, samples = _new_characters(samples, frozenset(characters), notes)
    kept_back = [sample for sample in samples if sample.document in held_out]
    samples = [sample for sample in samples if sample.document not in held_out]
    if not samples or not judges:
        raise InvalidInput(
            "there is no line to learn from: the labelled pages hold no line with text whose characters are known or"
            f" seen {_OFTEN_ENOUGH} times; import or correct pages with text",
            reason="NOTHING_TO_LEARN",
        )
    return Corpus(
        samples, kept_back, [page for name in judges for page in judging[name]], bool(wanted), new, tuple(notes)
    )


def _without_contradictions(samples: Sequence[Sample], notes: list[str]) -> list[Sample]:
    """One sample of each crop, none of those that are labelled in two ways."""
    by_crop: dict[bytes, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_crop[hashlib.sha256(sample.png.tobytes()).digest()].append(sample)
    kept, texts = [], []
    for same in by_crop.values():
        readings = sorted({sample.text for sample in same})
        if len(readings) == 1:
            kept.append(same[0])
        else:
            texts.append(" / ".join(repr(text) for text in readings))
    if texts:
        named = "; ".join(texts[:_NAMED]) + ("; …" if len(texts) > _NAMED else "")
        notes.append(f"Labels contradict each other for {len(texts)} crops, which are left out: {named}")
    return kept


def _new_characters(
    samples: Sequence[Sample], known: frozenset[str], notes: list[str]
) -> tuple[tuple[str, ...], list[Sample]]:
    """Characters beyond the dictionary that are seen often enough, and the samples that hold no others."""
    counts = Counter(char for sample in samples if not sample.detected for char in sample.text if char not in known)
    learned = tuple(sorted(char for char, count in counts.items() if count >= _OFTEN_ENOUGH))
    kept = [sample for sample in samples if set(sample.text) <= known | set(learned)]
    if learned:
        notes.append(f"Characters new to the model are learned: {' '.join(learned[:100])}")
    if rare := {char: count for char, count in counts.items() if char not in learned}:
        named = ", ".join(f"{char!r} ({count}x)" for char, count in list(rare.items())[:_NAMED])
        lost = len({(s.document, s.text) for s in samples} - {(s.document, s.text) for s in kept})
        notes.append(
            f"{len(rare)} characters are unknown to the model and too rare to learn (fewer than {_OFTEN_ENOUGH} times),"
            f" so {lost} lines are left out: {named}{', …' if len(rare) > _NAMED else ''}"
        )
    return learned, kept
