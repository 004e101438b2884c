"""Which characters of a page were read wrongly: readings laid beside the truth, line by line.

A read line is cut into characters spread evenly over its box, and each belongs to the labelled line that holds its
centre, so that joined or cut lines are not errors. The figures of the report do not come from here but from
`packline evaluate`; this is for the pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from examples.ocr.report.facts import PageFacts, Points, TextLine

_SLACK_X, _SLACK_Y = 3, 2


@dataclass(frozen=True, slots=True)
class LineCase:
    """A labelled line and how it was read before and after; `errors_*` count characters, case and spaces aside."""

    page: PageFacts
    truth: TextLine
    before: str
    after: str | None
    errors_before: int
    errors_after: int | None


def box(points: Points) -> tuple[float, float, float, float]:
    """Smallest upright box around the corners: left, top, right, bottom."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def read_at(truth: Sequence[TextLine], read: Sequence[TextLine]) -> list[str]:
    """What was read inside each labelled line, in the order of `truth`."""
    characters = []
    for line in read:
        left, top, right, bottom = box(line.points)
        step = (right - left) / max(len(line.text), 1)
        middle = (top + bottom) / 2
        characters += [(left + (i + 0.5) * step, middle, c) for i, c in enumerate(line.text)] + [(right, middle, " ")]
    characters.sort(key=lambda character: character[0])
    texts = []
    for line in truth:
        left, top, right, bottom = box(line.points)
        inside = (
            c
            for x, y, c in characters
            if left - _SLACK_X <= x <= right + _SLACK_X and top - _SLACK_Y <= y <= bottom + _SLACK_Y
        )
        texts.append(" ".join("".join(inside).split()))
    return texts


def errors(truth: str, read: str) -> int:
    """Characters read wrongly, white space and case ignored, at most all of them."""
    wanted, got = ("".join(text.split()).casefold() for text in (truth, read))
    return min(Levenshtein.distance(wanted, got), len(wanted))


def line_cases(page: PageFacts) -> list[LineCase]:
    """Every labelled line of a page with both readings."""
    before = read_at(page.truth, page.before.lines)
    after: Sequence[str | None] = read_at(page.truth, page.after.lines) if page.after else [None] * len(before)
    return [
        LineCase(page, truth, b, a, errors(truth.text, b), None if a is None else errors(truth.text, a))
        for truth, b, a in zip(page.truth, before, after, strict=True)
    ]


def differences(read: str, truth: str) -> list[tuple[str, bool]]:
    """Cuts what was read into pieces, each with whether it is wrong; a missing character is an empty wrong piece."""
    pieces: list[tuple[str, bool]] = []
    for op in Levenshtein.opcodes(read.casefold(), truth.casefold()):
        wrong = op.tag != "equal"
        # Casefolding may change the length of a text (ß): then show it whole rather than cut it wrongly.
        if len(read.casefold()) != len(read):
            return [(read, read != truth)]
        text = read[op.src_start : op.src_end]
        pieces.append((text, wrong and not text.isspace()))
    return pieces
