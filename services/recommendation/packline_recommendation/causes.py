"""Which items of a history speak for a result: those that are often taken by the same users, the newest most."""

from __future__ import annotations

from collections.abc import Sequence

from packline_recommendation.histories import History
from packline_recommendation.known import Known

_MOST = 3
_STEP = 0.9  # what an event counts for, one step further back


def causes_of(places: Sequence[int], history: History, known: Known) -> dict[int, list[tuple[int, float]]]:
    """For each result, items of the history and their shares, strongest first; nothing where none is near."""
    if known.neighbours is None or known.closeness is None:
        return {}
    newness: dict[int, float] = {}
    for step, index in enumerate(reversed(history.indices.tolist())):
        newness.setdefault(index, _STEP**step)
    modelled = [place for place in places if place < len(known.neighbours)]
    rows, scores = known.neighbours[modelled].tolist(), known.closeness[modelled].tolist()
    found: dict[int, list[tuple[int, float]]] = {}
    for place, near, close in zip(modelled, rows, scores, strict=True):
        spoke = {item: score * newness[item] for item, score in zip(near, close, strict=True) if item in newness}
        if place in newness:
            # Taken before, so taken again.
            spoke[place] = newness[place] * max(close, default=1.0)
        strongest = sorted(spoke.items(), key=lambda pair: -pair[1])[:_MOST]
        total = sum(value for _, value in strongest)
        if total > 0:
            found[place] = [(item, value / total) for item, value in strongest]
    return found
