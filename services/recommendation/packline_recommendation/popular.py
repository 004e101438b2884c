"""What is popular, in a context or at all: what those get of whom nothing else is known."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from packline_recommendation.catalogue import Attributes, Catalogue
from packline_recommendation.known import Known
from packline_recommendation.view import StateView

Places = npt.NDArray[np.int64]
_MOST_CONTEXTS = 256


@dataclass(frozen=True, slots=True)
class Ranking:
    """Places of a catalogue, most popular first, their scores by place, and whether a context was heeded."""

    order: Places
    scores: npt.NDArray[np.float64]
    in_context: bool


class Popular:
    """Rankings of one bundle, brought up to date with the Pack's state. Thread-safe.

    Args:
        known: The bundle's tables.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._attributes = Attributes(known.attributes)
        self._lock = threading.Lock()
        self._revision: int | None = None
        self._catalogue = Catalogue(known, self._attributes, {})
        self._listed: object = None
        self._strangers: dict[str, None] = {}
        self._counted = 0
        self._rankings: dict[frozenset[tuple[str, str]], Ranking] = {}

    def catalogue(self, view: StateView | None) -> Catalogue:
        """All items as they are now."""
        if view is None:
            return self._catalogue if self._revision is None else Catalogue(self._known, self._attributes, {})
        with self._lock:
            self._update(view)
            return self._catalogue

    def ranking(self, context: Mapping[str, str], view: StateView | None) -> tuple[Catalogue, Ranking]:
        """What is popular among users of a context, the rest after it by what is popular at all."""
        with self._lock:
            if view is not None:
                self._update(view)
            key = frozenset(context.items())
            ranking = self._rankings.get(key)
            if ranking is None:
                if len(self._rankings) >= _MOST_CONTEXTS:
                    self._rankings.clear()
                ranking = self._rankings[key] = self._rank(context, view)
            return self._catalogue, ranking

    def _update(self, view: StateView) -> None:
        tally = view.tally(self._known.settings.newest)
        if view.revision == self._revision:
            return
        self._revision, listed = view.revision, view.items
        names = list(tally.counts)  # none ever leaves, so those that are new are its last ones
        fresh = [name for name in names[self._counted :] if self._catalogue.place(name) < 0]
        self._counted = len(names)
        if fresh or listed is not self._listed:
            self._listed = listed
            self._strangers.update(dict.fromkeys(fresh))
            self._catalogue = Catalogue(self._known, self._attributes, listed, list(self._strangers))
        self._rankings.clear()

    def _rank(self, context: Mapping[str, str], view: StateView | None) -> Ranking:
        tally = None if view is None else view.tally(self._known.settings.newest)
        scores = self._scores(self._known.popularity, tally.counts if tally else {})
        near = np.zeros_like(scores)
        heeded = False
        for pair in context.items():
            there = self._known.contexts.get(pair)
            told = tally.by_context.get(pair) if tally else None
            if there is None and not told:
                continue
            heeded = True
            base = np.zeros(len(self._known.popularity))
            if there is not None:
                base[there[0]] = there[1]
            near += self._scores(base, told or {})
        if heeded:
            # What is popular at all decides only among items that nobody of the context took.
            scores = near + 1e-6 * scores
        return Ranking(np.argsort(-scores, kind="stable"), scores, heeded)

    def _scores(self, base: npt.NDArray[np.floating], counts: Mapping[str, float]) -> npt.NDArray[np.float64]:
        """By place, 1 at most."""
        scores = np.zeros(len(self._catalogue))
        scores[: len(base)] = base
        for name, count in list(counts.items()):
            scores[self._catalogue.place(name)] += count
        largest = scores.max(initial=0.0)
        return scores / largest if largest > 0 else scores
