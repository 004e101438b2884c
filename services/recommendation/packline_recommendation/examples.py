"""How a log and an item list travel as a dataset's examples: between `Task.read`, training, the gate and `evaluate`.

Four kinds, told apart by key:

| key | payload | truth | part |
|---|---|---|---|
| `user:U#digest` | `History`: what one import knows of user U | empty | training, always |
| `next:U` | `Query`: U's last events but for the newest | the newest: `[[item, event, weight, time], …]` | by key |
| `item:I` | `Item` | empty | training, always |
| `sha256:…` | `Query` of a call that a user corrected | as of `next:` | by key |

What a golden `next:U` asks for is withheld: it stands in no history's `history`, only in its `held`. Training learns
from `history` and from the truths of the `next:` examples that it is given, never from `held`; `held` goes into the
bundle's histories alone, which is what a user is known by when served. Several `user:U#…` may exist, one for each
import that said something new; they are merged by time, and equal events count once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from packline_core.errors import InvalidInput
from packline_core.task import Example

USER, NEXT, ITEM = "user:", "next:", "item:"
# Of a user's events, those that serving goes by; also what a query carries.
LONGEST_HISTORY = 200


class Event(NamedTuple):
    """One event of one user.

    Attributes:
        item: Item id.
        event: Its kind, lower case; see `events.WEIGHTS`.
        weight: What it counts for; above 0.
        time: Seconds since 1970, or an order where the log has no clock.
    """

    item: str
    event: str
    weight: float
    time: int


@dataclass(frozen=True, slots=True)
class History:
    """What one import knows of one user.

    Attributes:
        user: Its id.
        history: Events to learn from, oldest first.
        held: The newest events, which `next:U` asks for; for serving only.
        hidden: Items that the user does not want to see.
        context: What is known of the user, such as its country.
    """

    user: str
    history: Sequence[Event]
    held: Sequence[Event] = ()
    hidden: Sequence[str] = ()
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """What a recommendation is asked for by.

    Attributes:
        user: A user's id; empty for an anonymous session.
        history: What it goes by, oldest first. Given, it takes the place of what is known of the user.
        hidden: Items that are not to come back.
        context: As in `History`.
        now: Seconds since 1970 (or an order) at which it is asked; 0 means at the newest event.
    """

    user: str
    history: Sequence[Event]
    hidden: Sequence[str] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    now: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the list: its id, what it is called and described as, and attributes to filter by."""

    id: str
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def history_example(history: History, source: str, key: str = "") -> Example:
    """A user's history as an example; `key` ends its key, its digest where left out."""
    payload = _dump(
        {
            "user": history.user,
            "history": list(history.history),
            "held": list(history.held),
            "hidden": list(history.hidden),
            "context": dict(history.context),
        }
    )
    end = key or hashlib.sha256(payload).hexdigest()[:16]
    return Example(f"{USER}{_safe(history.user)}#{end}", payload, "", history.user, source)


def next_example(query: Query, truth: Sequence[Event], source: str) -> Example:
    """A user's newest events as an example to be judged by."""
    return Example(f"{NEXT}{_safe(query.user)}", query_payload(query), truth_json(truth), query.user, source)


def item_example(item: Item, source: str) -> Example:
    """An item of the list as an example."""
    payload = _dump({"id": item.id, "text": item.text, "attributes": dict(item.attributes)})
    return Example(f"{ITEM}{item.id}", payload, "", f"{ITEM}{item.id}", source)


def query_payload(query: Query) -> bytes:
    """A query as a payload."""
    return _dump(
        {
            "user": query.user,
            "history": list(query.history),
            "hidden": list(query.hidden),
            "context": dict(query.context),
            "now": query.now,
        }
    )


def truth_json(events: Iterable[Event]) -> str:
    """Events as a truth."""
    return json.dumps([list(event) for event in events], ensure_ascii=False, separators=(",", ":"))


def read_example(example: Example) -> History | Item | tuple[Query, tuple[Event, ...]]:
    """What an example says; of one with a truth, the query and the events that are asked for."""
    if example.key.startswith(ITEM):
        raw = json.loads(example.payload)
        return Item(raw["id"], raw["text"], raw["attributes"])
    if not example.truth:
        raw = json.loads(example.payload)
        return History(raw["user"], _events(raw["history"]), _events(raw["held"]), raw["hidden"], raw["context"])
    return read_query(example.payload), read_truth(example.truth)


def read_query(payload: bytes) -> Query:
    """Reads a query's payload.

    Raises:
        InvalidInput: It is not of this form.
    """
    try:
        raw = json.loads(payload)
        context = {str(key): str(value) for key, value in raw.get("context", {}).items()}
        hidden = tuple(str(item) for item in raw.get("hidden", ()))
        return Query(str(raw.get("user", "")), _events(raw["history"]), hidden, context, int(raw.get("now", 0)))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidInput(f"payload: no query of task recommendation: {error}", field="payload") from None


def read_truth(truth: str) -> tuple[Event, ...]:
    """Reads a truth: events as lists or objects, or bare item ids.

    Raises:
        InvalidInput: It is not of this form.
    """
    try:
        return _events(json.loads(truth))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise InvalidInput(
            f'truth_json: {error}; write [["item", "event", weight, time], …]',
            reason="INVALID_TRUTH",
            field="truth_json",
        ) from None


def _events(raw: Any) -> tuple[Event, ...]:
    if not isinstance(raw, list):
        raise TypeError("events come as a list")
    return tuple(_event(row) for row in raw)


def _event(row: Any) -> Event:
    if isinstance(row, str):
        return Event(row, "purchase", 1.0, 0)
    if isinstance(row, Mapping):
        row = (row["item"], row.get("event", "purchase"), row.get("weight", 1.0), row.get("time", 0))
    item, event, weight, time = row
    return Event(str(item), str(event), float(weight), int(time))


def _dump(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _safe(user: str) -> str:
    """A user's id within a key, in which `#` ends what decides the part."""
    return user.replace("%", "%25").replace("#", "%23")
