"""Users' histories as the rectangular arrays that every model, in training and in the ONNX graph, reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from packline_recommendation.domain import Floats, Log, Times


@dataclass(frozen=True, slots=True)
class Histories:
    """Last events of some users, the most recent last, padded at the front.

    Attributes:
        items: int64 (users, length), item index + 1; 0 is padding.
        weights: float32 (users, length), what each event counts for.
        ages: float32 (users, length), seconds from each event to the moment of the prediction; in a log that only
            orders a user's events, the number of that user's later events.
    """

    items: npt.NDArray[np.int64]
    weights: Floats
    ages: Floats

    def __len__(self) -> int:
        return len(self.items)

    def of(self, chosen: slice | npt.NDArray[np.int64]) -> Histories:
        """Those of some users, without columns in which nobody has an event."""
        items = self.items[chosen]
        used = np.flatnonzero((items > 0).any(axis=0))
        first = int(used[0]) if len(used) else items.shape[1] - 1
        return Histories(items[:, first:], self.weights[chosen, first:], self.ages[chosen, first:])

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """int64 (users, length): how many baskets lie between an event and the last one.

        Events of one moment are one basket: an order's lines have no order among themselves.
        """
        new = np.zeros(self.items.shape, dtype=np.int64)
        new[:, :-1] = self.ages[:, :-1] != self.ages[:, 1:]
        return new[:, ::-1].cumsum(axis=1)[:, ::-1]

    def decayed(self, decay: float, rate: float = 0.0) -> Floats:
        """float32 (users, length): what each event counts for after `decay` per step back and `exp(-rate * age)`."""
        shares = self.weights * np.power(np.float32(decay), self.steps) * np.exp(-np.float32(rate) * self.ages)
        return np.where(self.items > 0, shares, 0).astype(np.float32)

    def matrix(self, shares: Floats, count: int) -> sparse.csr_matrix:
        """float32 (users, count): `shares` summed by item."""
        rows, columns = np.nonzero(self.items)
        places = (rows, self.items[rows, columns] - 1)
        return sparse.csr_matrix((shares[rows, columns], places), shape=(len(self), count), dtype=np.float32)


def histories(log: Log, users: npt.NDArray[np.int64], length: int, now: Times | None = None) -> Histories:
    """The last `length` events of `users`.

    Args:
        log: Where they are.
        users: Indices, int64 (users,).
        length: Columns.
        now: int64 (users,), the moment of each prediction in a timed log; the moment of a user's last event where left
            out.
    """
    bounds = log.bounds
    ends = bounds[users + 1][:, None]
    places = ends - length + np.arange(length)[None, :]
    there = places >= bounds[users][:, None]
    places = np.where(there, places, 0)
    if not len(log):
        empty = np.zeros(places.shape, dtype=np.float32)
        return Histories(np.zeros(places.shape, dtype=np.int64), empty, empty)
    items = np.where(there, log.item[places].astype(np.int64) + 1, 0)
    if log.timed:
        last = log.time[np.maximum(ends[:, 0] - 1, 0)] if now is None else now
        ages = np.maximum(last[:, None] - log.time[places], 0)
    else:
        ages = ends - 1 - places
    zero = np.float32(0)
    return Histories(
        items,
        np.where(there, log.weight[places], zero).astype(np.float32),
        np.where(there, ages, zero).astype(np.float32),
    )
