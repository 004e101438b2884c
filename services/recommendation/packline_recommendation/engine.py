"""The predictor: a user's history, or a session's, through the bundle's graph; filters come before the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, PacklineError
from packline_core.runtime import Runtime, create_session

from packline_recommendation.asking import MOST_K, Answer, Ask, Basis, Result, answer_json, ask_of
from packline_recommendation.catalogue import Catalogue, Mask
from packline_recommendation.causes import causes_of
from packline_recommendation.examples import Query, read_query
from packline_recommendation.histories import History, events_of, gather
from packline_recommendation.known import Known
from packline_recommendation.layout import MODEL
from packline_recommendation.popular import Places, Popular

_INPUTS = ["items", "weights", "ages", "allowed", "k"]
_OUTPUTS = ["scores", "indices"]
_NOWHERE: Places = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A question that is ready to be answered.

    Attributes:
        ask: The question.
        catalogue: All items as they were when it came.
        history: What it goes by.
        allowed: By place; None where conditions and stock allow all. Questions may share it.
        closed: Places that are not allowed whatever `allowed` says; one may stand there twice.
        k: How many, not more than there are.
        notes: What must be said already.
    """

    ask: Ask
    catalogue: Catalogue
    history: History
    allowed: Mask | None
    closed: Places
    k: int
    notes: tuple[str, ...]

    def mask(self) -> Mask:
        """Which of all items may be given; a new array."""
        mask: Mask = np.ones(len(self.catalogue), np.bool_) if self.allowed is None else self.allowed.copy()
        mask[self.closed] = False
        return mask


class RecommendationPredictor:
    """Recommends. Thread-safe.

    Args:
        bundle: A bundle of task `recommendation`.
        runtime: Where it runs.

    Raises:
        BundleRejected: Its tables or its graph are not of this task, or do not fit together.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._known = Known(bundle.folder)
        self._popular = Popular(self._known)
        self._session: Any = None
        if MODEL in bundle.manifest.files:
            self._session = create_session(bundle.path(MODEL), runtime)
            _check(self._session, len(self._known.items))

    @property
    def newest(self) -> int:
        """When the newest event happened that it was trained on, in seconds since 1970; 0 for none."""
        return self._known.settings.newest

    def knows(self, item: str) -> bool:
        """Whether the model knows an item."""
        return self._known.items.find(item) >= 0

    def query(self, ask: Ask) -> Query:
        """A question with the history that it goes by spelt out."""
        events = events_of(ask, self._known)
        return Query(ask.user, events, ask.hidden, ask.context, ask.now)

    def prepare(self, payload: Ask) -> Sequence[Work]:
        """Looks up what is known and allowed."""
        ask = payload
        catalogue = self._popular.catalogue(ask.view)
        history = gather(ask, self._known, catalogue)
        allowed = catalogue.mask(ask.conditions)
        if ask.stock is not None:
            inside = np.zeros(len(catalogue), np.bool_)
            inside[_places(catalogue, ask.stock)] = True
            allowed = inside if allowed is None else inside & allowed
        repeats = self._known.settings.repeats if ask.repeats is None else ask.repeats
        closed = [] if repeats else [history.places]
        if len(history.hidden):
            closed.append(history.hidden)
        if ask.exclude:
            closed.append(_places(catalogue, ask.exclude))
        k = min(ask.k, MOST_K, len(catalogue))
        notes = []
        if k < ask.k:
            why = f"at most {MOST_K} are given" if k == MOST_K else f"there are {k} items"
            notes.append(f"k was reduced from {ask.k} to {k}: {why}")
        return (Work(ask, catalogue, history, allowed, _joined(closed), k, tuple(notes)),)

    def predict(self, items: Sequence[Work]) -> Sequence[Answer | PacklineError]:
        """Answers questions of one call or of several."""
        modelled = [work for work in items if self._session is not None and len(work.history) and work.k]
        found = dict(zip(map(id, modelled), self._scored(modelled), strict=True)) if modelled else {}
        return [self._answer(work, found.get(id(work))) for work in items]

    def answer(self, payload: bytes) -> str:
        """The answer to a query."""
        (answer,) = self.predict(self.prepare(ask_of(read_query(payload))))
        if isinstance(answer, PacklineError):
            raise answer
        return answer_json(answer)

    def close(self) -> None:
        """Gives the session back."""
        self._session = None

    def _scored(self, works: Sequence[Work]) -> list[tuple[list[int], list[float]]]:
        """Places and scores of the best of each, best first."""
        count = self._known.settings.length
        length = max(min(len(work.history), count) for work in works)
        items = np.zeros((len(works), length), np.int64)
        weights = np.zeros((len(works), length), np.float32)
        ages = np.zeros((len(works), length), np.float32)
        modelled = len(self._known.items)
        allowed = np.ones((len(works), modelled), np.bool_)
        for row, work in enumerate(works):
            history = work.history
            used = min(len(history), length)
            items[row, length - used :] = history.indices[-used:] + 1
            weights[row, length - used :] = history.weights[-used:]
            ages[row, length - used :] = history.ages[-used:]
            if work.allowed is not None:
                allowed[row] = work.allowed[:modelled]
            closed = work.closed
            allowed[row, closed if len(work.catalogue) == modelled else closed[closed < modelled]] = False
        most = np.array([min(max(work.k for work in works), modelled)], np.int64)
        scores, indices = self._session.run(
            _OUTPUTS, {"items": items, "weights": weights, "ages": ages, "allowed": allowed, "k": most}
        )
        found = []
        # Best first, so that what was not allowed, and stands at minus infinity, is last.
        for work, there, score, place in zip(works, np.isfinite(scores).sum(axis=1), scores, indices, strict=True):
            used = min(work.k, int(there))
            found.append((place[:used].tolist(), score[:used].tolist()))
        return found

    def _answer(self, work: Work, scored: tuple[list[int], list[float]] | None) -> Answer:
        ask, catalogue, history = work.ask, work.catalogue, work.history
        notes = list(work.notes)
        if scored is None:
            basis, places, scores = self._by_popularity(work, work.mask(), work.k)
            if ask.user and not history.known:
                notes.append(f"user {ask.user} is unknown")
        else:
            basis = Basis.USER if history.known else Basis.SESSION
            places, scores = scored
            if len(places) < work.k and len(catalogue) > catalogue.modelled:
                # Items that came after training follow, by what is taken of late.
                rest = work.mask()
                rest[: catalogue.modelled] = False
                _, further, _ = self._by_popularity(work, rest, work.k - len(places))
                lowest = min(scores, default=0.0)
                places, scores = [*places, *further], [*scores, *[lowest] * len(further)]
        if len(places) < work.k:
            notes.append(f"only {len(places)} of {work.k} items are left by the filters, stock and exclusions")
        results = list(map(Result, catalogue.names(places), scores, catalogue.texts(places)))
        if ask.causes and scored is not None:
            reasons = causes_of(places, history, self._known)
            for number, place in enumerate(places):
                if place in reasons:
                    causes, shares = zip(*reasons[place], strict=True)
                    named = tuple(zip(catalogue.names(causes), shares, strict=True))
                    results[number] = results[number]._replace(causes=named)
        return Answer(tuple(results), basis, history.unknown, tuple(notes))

    def _by_popularity(self, work: Work, allowed: Mask, k: int) -> tuple[Basis, list[int], list[float]]:
        _, ranking = self._popular.ranking(work.ask.context, work.ask.view)
        places = _first(ranking.order, allowed, k)
        basis = Basis.POPULAR_IN_CONTEXT if ranking.in_context else Basis.POPULAR
        return basis, places, ranking.scores[places].tolist()


def _first(order: Places, allowed: Mask, k: int) -> list[int]:
    """The first k places of an order that are allowed, looked for in longer and longer pieces: they are near its start
    in most questions, and an order of a million is long.
    """
    found: list[int] = []
    start, length = 0, 4 * k
    while len(found) < k and start < len(order):
        piece = order[start : start + length]
        piece = piece[piece < len(allowed)]  # a ranking may know items that came after the question
        found += piece[allowed[piece]].tolist()
        start, length = start + length, 4 * length
    return found[:k]


def _places(catalogue: Catalogue, names: frozenset[str]) -> Places:
    return np.array([place for name in names if (place := catalogue.place(name)) >= 0], np.int64)


def _joined(parts: Sequence[Places]) -> Places:
    return parts[0] if len(parts) == 1 else np.concatenate([_NOWHERE, *parts])


def _check(session: Any, count: int) -> None:
    inputs = [value.name for value in session.get_inputs()]
    outputs = [value.name for value in session.get_outputs()]
    if sorted(inputs) != sorted(_INPUTS) or sorted(outputs) != sorted(_OUTPUTS):
        raise BundleRejected(
            f"{MODEL} has inputs {inputs} and outputs {outputs}; task recommendation serves {_INPUTS} -> {_OUTPUTS}",
            reason="SIGNATURE_MISMATCH",
        )
    shape = next(value.shape for value in session.get_inputs() if value.name == "allowed")
    if isinstance(shape[-1], int) and shape[-1] != count:
        raise BundleRejected(
            f"{MODEL} scores {shape[-1]} items where the catalogue has {count}", reason="SIGNATURE_MISMATCH"
        )
