"""Scores of a reading against labelled lines: character error rate and its companions.

How a reading is matched: each line that was read is cut into its characters, spread evenly over its box; a character
belongs to every labelled line whose box, a little widened, holds its centre. So nothing depends on how an engine cuts
or joins lines, only on what it reads. White space and case are left out of `cer` and kept in `cer_strict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packline_core.task import Count, Metric
from rapidfuzz.distance import Levenshtein

from packline_ocr.domain import LabelledLine, ReadLine

_AROUND_X = 3  # pixels by which a label's box is widened on each side
_AROUND_Y = 2

METRICS = (
    Metric("cer", "min", "Characters read wrongly, as a share of the labelled ones; white space and case ignored."),
    Metric("cer_strict", "min", "The same with case and single spaces kept."),
    Metric("exact", "max", "Share of labelled lines read without error, as in cer."),
    Metric("invented", "min", "Characters outside every labelled line, as a share of the labelled ones."),
)

_Box = tuple[float, float, float, float]
_Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class LineScore:
    """One labelled line: characters and errors, with white space and case ignored and (`strict`) kept."""

    chars: int
    errors: int
    strict_chars: int
    strict_errors: int


def score_page(truth: Sequence[LabelledLine], read: Sequence[ReadLine]) -> Mapping[str, Count]:
    """Scores one page; a metric over pages is sum of values / sum of weights."""
    characters = [character for line in read for character in _characters(line)]
    used: set[int] = set()
    scores = [
        score
        for score in (_score_line(line.text, _inside(line.points, characters, used)) for line in truth)
        if score is not None
    ]
    invented = sum(1 for index, (_, _, char) in enumerate(characters) if index not in used and not char.isspace())
    chars = sum(score.chars for score in scores)
    return {
        "cer": Count(sum(score.errors for score in scores), chars),
        "cer_strict": Count(sum(score.strict_errors for score in scores), sum(score.strict_chars for score in scores)),
        "exact": Count(sum(score.errors == 0 for score in scores), len(scores)),
        "invented": Count(invented, chars),
    }


def agreement(first: Sequence[ReadLine], second: Sequence[ReadLine]) -> float:
    """How far two readings of one page agree, 0 to 1: 1 - edit distance / characters of the longer."""
    one, other = ("\n".join(line.text for line in lines) for lines in (first, second))
    return Levenshtein.normalized_similarity(one, other)


def _score_line(text: str, found: str) -> LineScore | None:
    """None for a label without characters. A line counts at most as many errors as it has characters."""
    strict_truth, strict_read = " ".join(text.split()), " ".join(found.split())
    truth, read = ("".join(part.split()).casefold() for part in (strict_truth, strict_read))
    if not truth:
        return None
    return LineScore(
        chars=len(truth),
        errors=min(Levenshtein.distance(truth, read), len(truth)),
        strict_chars=len(strict_truth),
        strict_errors=min(Levenshtein.distance(strict_truth, strict_read), len(strict_truth)),
    )


def _inside(points: _Points, characters: Sequence[tuple[float, float, str]], used: set[int]) -> str:
    """The characters whose centres lie in a label's box, from left to right; notes them as `used`."""
    x0, y0, x1, y1 = _box(points)
    inside = [
        index
        for index, (x, y, _) in enumerate(characters)
        if x0 - _AROUND_X <= x <= x1 + _AROUND_X and y0 - _AROUND_Y <= y <= y1 + _AROUND_Y
    ]
    used.update(inside)
    return "".join(characters[index][2] for index in sorted(inside, key=lambda index: characters[index][0]))


def _characters(line: ReadLine) -> list[tuple[float, float, str]]:
    """(x, y, character) for every character of a line, spread evenly, with a space after the last."""
    x0, y0, x1, y1 = _box(line.points)
    step = (x1 - x0) / max(len(line.text), 1)
    y = (y0 + y1) / 2
    return [*((x0 + (index + 0.5) * step, y, char) for index, char in enumerate(line.text)), (x1, y, " ")]


def _box(points: _Points) -> _Box:
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), min(ys), max(xs), max(ys)
