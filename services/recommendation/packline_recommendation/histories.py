"""What a question goes by: what the bundle knows of a user, what the Pack was told since, and the session's items."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from packline_recommendation.asking import Ask
from packline_recommendation.catalogue import Catalogue
from packline_recommendation.events import PURCHASE, WEIGHTS, Raw, settled
from packline_recommendation.examples import LONGEST_HISTORY, Event
from packline_recommendation.known import Known, KnownHistory

_SESSION_WEIGHT = WEIGHTS[PURCHASE]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Events, newest last.

    Attributes:
        indices: int64 (events,), of items that the model knows.
        weights: float32 (events,).
        ages: float32 (events,), as `layout` has them.
        places: int64, places in the catalogue of all items that the user has, known to the model or not.
        hidden: int64, places of the items that it refused.
        known: Whether anything is known of the user, beside a session.
        unknown: Items of the session that the catalogue has not.
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    ages: npt.NDArray[np.float32]
    places: npt.NDArray[np.int64]
    hidden: npt.NDArray[np.int64]
    known: bool
    unknown: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)


def gather(ask: Ask, known: Known, catalogue: Catalogue) -> History:
    """Puts together what a question goes by, from a user's record in the bundle and what came after it."""
    there = known.users.find(ask.user) if ask.history is None else None
    if there is not None and not ask.recorded and not ask.session:
        indices = there.items.astype(np.int64)
        hidden = there.hidden.astype(np.int64)
        if ask.hidden:
            hidden = np.concatenate([hidden, _found(ask.hidden, catalogue)])
        ages = _ages(there.times, ask.now, known.settings.timed)
        return History(indices, there.weights, ages, indices, hidden, known=True, unknown=())
    events, refused = _merged(ask, there, known)
    unknown = tuple(dict.fromkeys(item for item in ask.session if catalogue.place(item) < 0))
    places = _found([event.item for event in events], catalogue, keep=True)
    modelled = (places >= 0) & (places < catalogue.modelled)
    times = np.array([event.time for event in events], np.int64)[modelled]
    return History(
        indices=places[modelled],
        weights=np.array([event.weight for event in events], np.float32)[modelled],
        ages=_ages(times, ask.now, known.settings.timed),
        places=places[places >= 0],
        hidden=_found([*refused, *ask.hidden], catalogue),
        known=bool(there is not None or ask.history or ask.recorded),
        unknown=unknown,
    )


def events_of(ask: Ask, known: Known) -> list[Event]:
    """The events that a question goes by, oldest first."""
    return _merged(ask, known.users.find(ask.user) if ask.history is None else None, known)[0]


def _merged(ask: Ask, there: KnownHistory | None, known: Known) -> tuple[list[Event], list[str]]:
    events, refused = settled([*_raws(ask, there, known), *ask.recorded])
    events = events[-LONGEST_HISTORY:]
    newest = max(ask.now, events[-1].time if events else 0)
    return [*events, *(Event(item, PURCHASE, _SESSION_WEIGHT, newest) for item in ask.session)], refused


def _raws(ask: Ask, there: KnownHistory | None, known: Known) -> list[Raw]:
    if ask.history:
        return [Raw(event.item, event.event, event.weight, event.time) for event in ask.history]
    if there is None:
        return []
    told = zip(there.items.tolist(), there.times.tolist(), there.weights.tolist(), strict=True)
    # What training took in already, it took in from these same events.
    since = {(raw.item, raw.time) for raw in ask.recorded}
    raws = [Raw(known.items[item], PURCHASE, weight, time) for item, time, weight in told]
    refused = [Raw(known.items[item], "hide", None, 0) for item in there.hidden.tolist()]
    return [*refused, *(raw for raw in raws if (raw.item, raw.time) not in since)]


def _ages(times: npt.NDArray[np.int64], now: int, timed: bool) -> npt.NDArray[np.float32]:
    if not timed:
        return np.arange(len(times) - 1, -1, -1, dtype=np.float32)
    latest = max(now, int(times[-1])) if len(times) else now
    return (latest - times).astype(np.float32)


def _found(names: Iterable[str], catalogue: Catalogue, *, keep: bool = False) -> npt.NDArray[np.int64]:
    places = np.array([catalogue.place(name) for name in names], np.int64)
    return places if keep else places[places >= 0]
