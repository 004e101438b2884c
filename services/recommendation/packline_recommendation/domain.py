"""What recommending is about: a log of who took what and when, a list of items, and ways to split a log.

A log is a handful of parallel numpy arrays, sorted by user and then by time, so that a user's history is a slice and
everything else is vectorised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

K = 10
RECALL, NDCG = f"recall_at_{K}", f"ndcg_at_{K}"
"""Names of the metrics, over the whole catalogue; MLflow takes no `@`."""


@dataclass(frozen=True, slots=True)
class Log:
    """Events of users with items.

    Attributes:
        user: int32 (events,), index into `users`; ascending.
        item: int32 (events,), index into `items`.
        time: int64 (events,), seconds since 1970 where `timed`, otherwise only an order; ascending within a user.
        weight: float32 (events,), what an event counts for; above 0.
        users: User ids.
        items: Item ids; an item without events may be among them.
        timed: Whether `time` is one clock for all users.
    """

    user: Ints
    item: Ints
    time: Times
    weight: Floats
    users: Sequence[str]
    items: Sequence[str]
    timed: bool

    def __len__(self) -> int:
        return len(self.user)

    @property
    def bounds(self) -> npt.NDArray[np.int64]:
        """int64 (users + 1,): the events of user u are `bounds[u]:bounds[u + 1]`."""
        return np.searchsorted(self.user, np.arange(len(self.users) + 1))

    def where(self, chosen: Bools) -> Log:
        """Only some events; vocabularies stay."""
        return replace(
            self, user=self.user[chosen], item=self.item[chosen], time=self.time[chosen], weight=self.weight[chosen]
        )


@dataclass(frozen=True, slots=True)
class Items:
    """What is known of items beside events.

    Attributes:
        ids: As in `Log.items`, in the same order.
        texts: One for each id; empty where there is none.
        attributes: One mapping for each id, attribute -> value.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    attributes: Sequence[Mapping[str, str]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Split:
    """A log cut in two: what is known, and what is to be predicted of the same users.

    Attributes:
        known: Events to learn from, and the histories that predictions start from.
        held_out: Events to predict, with the same vocabularies.
        by_time: Whether one moment cuts the logs of all users.
    """

    known: Log
    held_out: Log
    by_time: bool


def sorted_log(log: Log) -> Log:
    """The same events by user and time; those of equal user and time stay in the order given."""
    order = np.lexsort((log.time, log.user))
    return replace(log, user=log.user[order], item=log.item[order], time=log.time[order], weight=log.weight[order])


def leave_last_out(log: Log, least: int = 2) -> Split:
    """Holds out the last event of every user that has `least` events or more."""
    counts = np.diff(log.bounds)
    last = np.zeros(len(log), dtype=np.bool_)
    last[log.bounds[1:][counts >= least] - 1] = True
    return Split(log.where(~last), log.where(last), by_time=False)


def split_by_time(log: Log, share: float) -> Split:
    """Holds out what happened in the last `share` of events, counted by time: all events from one moment on.

    Only users with a history before that moment are held out; events of others from then on are in neither part,
    since nothing was known of them.
    """
    moment = np.quantile(log.time, 1 - share, method="higher") if len(log) else 0
    late = log.time >= moment
    known = log.where(~late)
    has_history = np.diff(known.bounds) > 0
    return Split(known, log.where(late & has_history[log.user]), by_time=True)
