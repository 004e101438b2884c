"""From a dataset's examples to arrays: the log to learn from, what each user is known by, and the items."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from packline_core.errors import InvalidInput
from packline_core.task import Example

from packline_recommendation.domain import Items, Log, sorted_log
from packline_recommendation.examples import Event, History, Item, read_example

# Seconds since 1970 that no order counts to, and that no shop's log lies before: 1973.
_CLOCK = 100_000_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a training works on.

    Attributes:
        log: Events to learn from.
        shown: The same and those that are withheld to be judged by; what users are known by in serving.
        items: Texts and attributes, in the order of the logs' items.
        hidden: User index -> item indices that the user does not want to see.
        contexts: User index -> what is known of the user.
    """

    log: Log
    shown: Log
    items: Items
    hidden: Mapping[int, Sequence[int]]
    contexts: Mapping[int, Mapping[str, str]]


@dataclass(slots=True)
class _Rows:
    """Events as they come."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    user: array[int] = field(default_factory=lambda: array("i"))
    item: array[int] = field(default_factory=lambda: array("i"))
    time: array[int] = field(default_factory=lambda: array("q"))
    weight: array[float] = field(default_factory=lambda: array("f"))
    example: array[int] = field(default_factory=lambda: array("i"))
    learned: array[int] = field(default_factory=lambda: array("b"))

    def add(self, user: str, events: Iterable[Event], example: int, *, learned: bool) -> None:
        number = self.users.setdefault(user, len(self.users))
        for event in events:
            self.user.append(number)
            self.item.append(self.items.setdefault(event.item, len(self.items)))
            self.time.append(event.time)
            self.weight.append(event.weight)
            self.example.append(example)
            self.learned.append(learned)


def gather(examples: Iterable[Example]) -> Corpus:
    """Reads all examples.

    Raises:
        InvalidInput: There are no events of at least two users and two items.
    """
    rows = _Rows()
    listed: dict[str, Item] = {}
    hidden: dict[str, set[str]] = {}
    contexts: dict[str, dict[str, str]] = {}
    for number, example in enumerate(examples):
        read = read_example(example)
        if isinstance(read, Item):
            listed[read.id] = read
        elif isinstance(read, History):
            rows.add(read.user, read.history, number, learned=True)
            rows.add(read.user, read.held, number, learned=False)
            hidden.setdefault(read.user, set()).update(read.hidden)
            contexts.setdefault(read.user, {}).update(read.context)
        else:
            query, truth = read
            if query.user:
                rows.add(query.user, truth, number, learned=True)
            else:
                # A session of nobody in particular is a user of its own.
                rows.add(f"\0{example.key}", (*query.history, *truth), number, learned=True)
    return _corpus(rows, listed, hidden, contexts)


def _corpus(
    rows: _Rows, listed: Mapping[str, Item], hidden: Mapping[str, set[str]], contexts: Mapping[str, dict[str, str]]
) -> Corpus:
    ids = sorted({*listed, *rows.items})
    places = {item: place for place, item in enumerate(ids)}
    users = sorted(rows.users)
    user_places = {user: place for place, user in enumerate(users)}
    renumbered_users = np.array([user_places[user] for user in rows.users], dtype=np.int32)
    renumbered_items = np.array([places[item] for item in rows.items], dtype=np.int32)
    time = np.array(rows.time, dtype=np.int64)
    every = Log(
        user=renumbered_users[np.array(rows.user, dtype=np.int32)],
        item=renumbered_items[np.array(rows.item, dtype=np.int32)],
        time=time,
        weight=np.array(rows.weight, dtype=np.float32),
        users=users,
        items=ids,
        timed=bool(len(time)) and float(np.median(time)) > _CLOCK,
    )
    once, learned = _once(every, np.array(rows.example, dtype=np.int32), np.array(rows.learned, dtype=np.bool_))
    _check(once.where(learned))
    order = np.lexsort((once.time, once.user))
    shown = sorted_log(once)
    return Corpus(
        log=shown.where(learned[order]),
        shown=shown,
        items=Items(
            ids,
            [listed[item].text if item in listed else "" for item in ids],
            [listed[item].attributes if item in listed else {} for item in ids],
        ),
        hidden={
            user_places[user]: sorted(places[item] for item in refused if item in places)
            for user, refused in hidden.items()
            if user in user_places
        },
        contexts={user_places[user]: context for user, context in contexts.items() if user in user_places},
    )


def _once(
    log: Log, example: npt.NDArray[np.int32], learned: npt.NDArray[np.bool_]
) -> tuple[Log, npt.NDArray[np.bool_]]:
    """Leaves out what several examples tell alike; an event that one of them lets learn from may be learned from."""
    order = np.lexsort((~learned, example, log.weight, log.item, log.time, log.user))
    before, after = order[:-1], order[1:]
    same = np.ones(max(len(order) - 1, 0), dtype=np.bool_)
    for column in (log.user, log.item, log.time, log.weight):
        same &= column[before] == column[after]
    same &= example[before] != example[after]
    group = np.zeros(len(order), dtype=np.int64)
    group[1:] = (~same).cumsum()
    merged = np.zeros(len(order), dtype=np.bool_)
    np.logical_or.at(merged, group, learned[order])
    kept = np.ones(len(order), dtype=np.bool_)
    kept[after[same]] = False
    learned = learned.copy()
    learned[order] = merged[group]
    return log.where(kept), learned[kept]


def _check(log: Log) -> None:
    if not len(log):
        raise InvalidInput("the log holds no event to learn from; import some first", reason="EMPTY_LOG")
    users, items = len(np.unique(log.user)), len(np.unique(log.item))
    if users < 2 or items < 2:
        raise InvalidInput(
            f"the log holds events of {users} user{'' if users == 1 else 's'} and {items} item"
            f"{'' if items == 1 else 's'}; what others do can only be learned from two or more of each",
            reason="LOG_TOO_SMALL",
        )
