"""What models are chosen by: events held out of the training part, as the data allows.

Where there is one clock, one moment cuts everybody's history, and what each user took next is asked for; so nothing
that was learned lies in the future of what is judged. Where times only order a user's events, or where few users went
on after that moment, each user's last event is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from packline_core.errors import InvalidInput

from packline_recommendation.domain import Log, Split, leave_last_out, split_by_time
from packline_recommendation.training.blending import Targets
from packline_recommendation.training.histories import Histories, histories

LATE_SHARE = 0.1  # of events, that are held out by time
_FEWEST = 200  # users, below which a split by time judges too little, unless they are many of all
_FEW, _MANY = 50, 1000  # users, and events of theirs, that judge enough where baskets are large
_MOST = 6000  # users whose next items are asked for


@dataclass(frozen=True, slots=True)
class Validation:
    """A log cut for choosing.

    Attributes:
        known: What may be learned from.
        given: Histories that are asked about.
        targets: What should come out.
        by_time: Whether one moment cut all histories.
    """

    known: Log
    given: Histories
    targets: Targets
    by_time: bool

    def some(self, most: int) -> Validation:
        """The same with fewer histories."""
        if len(self.given) <= most:
            return self
        return Validation(self.known, self.given.of(slice(0, most)), self.targets.between(0, most), self.by_time)


def validation(log: Log, *, length: int, seed: int) -> Validation:
    """Cuts a log.

    Args:
        log: Events.
        length: Events of a history that are looked at.
        seed: Of the choice of users where there are more than needed.

    Raises:
        InvalidInput: No user has a second event.
    """
    split = _split(log)
    users = np.unique(split.held_out.user).astype(np.int64)
    if not len(users):
        raise InvalidInput(
            "no user has two events, so that no model can be judged by what came next", reason="LOG_TOO_SMALL"
        )
    if len(users) > _MOST:
        users = np.sort(np.random.default_rng(seed).choice(users, _MOST, replace=False))
    return judged(split, users, length=length, seed=seed)


def judged(split: Split, users: np.ndarray, *, length: int, seed: int) -> Validation:
    """What some users took next after a split: one event, or all of the first basket after it.

    Args:
        split: Of the log.
        users: int64 (users,), ascending; each has held-out events.
        length: Events of a history that are looked at.
        seed: Of the order in which users are judged, so that the first of them are a fair sample.
    """
    held = split.held_out
    firsts = np.searchsorted(held.user, users)
    moments = held.time[firsts]
    users_order = np.random.default_rng((seed, 1)).permutation(len(users))
    row = np.full(len(held.users), -1, dtype=np.int64)
    row[users[users_order]] = np.arange(len(users))
    moment = np.zeros(len(held.users), dtype=np.int64)
    moment[users] = moments
    asked = (row[held.user] >= 0) & (held.time == moment[held.user])
    pairs = np.unique(np.stack([row[held.user[asked]], held.item[asked].astype(np.int64)], axis=1), axis=0)
    ordered = users[users_order]
    given = histories(split.known, ordered, length, moment[ordered])
    return Validation(split.known, given, Targets(pairs[:, 0], pairs[:, 1]), split.by_time)


def _split(log: Log) -> Split:
    if log.timed:
        split = split_by_time(log, LATE_SHARE)
        users = len(np.unique(split.held_out.user))
        active = int((np.diff(log.bounds) > 1).sum())
        enough = users >= _FEW and len(split.held_out) >= _MANY
        if enough or users >= min(_FEWEST, max(active // 2, 1)):
            return split
    return leave_last_out(log)
