"""The predictor: a user's history, or a session's, through the bundle's graph; filters come before the cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
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
from packline_recommendation.popular import Popular

_INPUTS = ["items", "weights", "ages", "allowed", "k"]
_OUTPUTS = ["scores", "indices"]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A question that is ready to be answered.

    Attributes:
        ask: The question.
        catalogue: All items as they were when it came.
        history: What it goes by.
        allowed: By place.
        k: How many, not more than there are.
        notes: What must be said already.
    """

    ask: Ask
    catalogue: Catalogue
    history: History
    allowed: Mask
    k: int
    notes: tuple[str, ...]


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
            inside = np.zeros_like(allowed)
            inside[_places(catalogue, ask.stock)] = True
            allowed &= inside
        repeats = self._known.settings.repeats if ask.repeats is None else ask.repeats
        allowed[_places(catalogue, ask.exclude)] = False
        allowed[history.hidden] = False
        if not repeats:
            allowed[history.places] = False
        k = min(ask.k, MOST_K, len(catalogue))
        notes = []
        if k < ask.k:
            why = f"at most {MOST_K} are given" if k == MOST_K else f"there are {k} items"
            notes.append(f"k was reduced from {ask.k} to {k}: {why}")
        return (Work(ask, catalogue, history, allowed, k, tuple(notes)),)

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

    def _scored(self, works: Sequence[Work]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
        """Places and scores of the best of each, best first."""
        count = self._known.settings.length
        length = max(min(len(work.history), count) for work in works)
        items = np.zeros((len(works), length), np.int64)
        weights = np.zeros((len(works), length), np.float32)
        ages = np.zeros((len(works), length), np.float32)
        for row, work in enumerate(works):
            history = work.history
            used = min(len(history), length)
            items[row, length - used :] = history.indices[-used:] + 1
            weights[row, length - used :] = history.weights[-used:]
            ages[row, length - used :] = history.ages[-used:]
        modelled = len(self._known.items)
        allowed = np.stack([work.allowed[:modelled] for work in works])
        most = np.array([min(max(work.k for work in works), modelled)], np.int64)
        scores, indices = self._session.run(
            _OUTPUTS, {"items": items, "weights": weights, "ages": ages, "allowed": allowed, "k": most}
        )
        found = []
        for row, work in enumerate(works):
            there = np.isfinite(scores[row][: work.k])
            found.append((indices[row][: work.k][there], scores[row][: work.k][there]))
        return found

    def _answer(self, work: Work, scored: tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]] | None) -> Answer:
        ask, catalogue, history = work.ask, work.catalogue, work.history
        places: list[int] = []
        scores: list[float] = []
        notes = list(work.notes)
        if scored is None:
            basis, places, scores = self._by_popularity(work, work.k)
            if ask.user and not history.known:
                notes.append(f"user {ask.user} is unknown")
        else:
            basis = Basis.USER if history.known else Basis.SESSION
            places, scores = scored[0].tolist(), scored[1].tolist()
            if len(places) < work.k and len(catalogue) > catalogue.modelled:
                # Items that came after training follow, by what is taken of late.
                work.allowed[: catalogue.modelled] = False
                _, further, _ = self._by_popularity(work, work.k - len(places))
                lowest = min(scores, default=0.0)
                places, scores = [*places, *further], [*scores, *[lowest] * len(further)]
        if len(places) < work.k:
            notes.append(f"only {len(places)} of {work.k} items are left by the filters, stock and exclusions")
        reasons = causes_of(places, history, self._known) if ask.causes and scored is not None else {}
        results = tuple(
            Result(
                catalogue.name(place),
                score,
                catalogue.text(place),
                tuple((catalogue.name(cause), share) for cause, share in reasons.get(place, ())),
            )
            for place, score in zip(places, scores, strict=True)
        )
        return Answer(results, basis, history.unknown, tuple(notes))

    def _by_popularity(self, work: Work, k: int) -> tuple[Basis, list[int], list[float]]:
        _, ranking = self._popular.ranking(work.ask.context, work.ask.view)
        order = ranking.order[ranking.order < len(work.allowed)]
        places = order[work.allowed[order]][:k]
        basis = Basis.POPULAR_IN_CONTEXT if ranking.in_context else Basis.POPULAR
        return basis, places.tolist(), ranking.scores[places].tolist()


def _places(catalogue: Catalogue, names: frozenset[str]) -> list[int]:
    return [place for name in names if (place := catalogue.place(name)) >= 0]


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
