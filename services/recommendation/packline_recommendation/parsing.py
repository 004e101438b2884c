"""Rows of a log or an item list -> what they say, or why they say nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from packline_recommendation import tables
from packline_recommendation.events import PURCHASE, Raw, kind_of
from packline_recommendation.examples import Item
from packline_recommendation.tables import Table, plain_name

# Smaller numbers only order events; as seconds they would lie before 1973.
FIRST_CLOCK = 100_000_000
_MILLISECONDS = 100_000_000_000
_FUTURE = 300  # seconds that clocks may differ
_NOBODY = frozenset({"", "-1", "nan", "null", "none", "n/a", "na"})
_FORMATS = ("%m/%d/%Y %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%Y%m%d")
_LONGEST_ID = 200

Row = Sequence[Any]
# User, what it did, context, and the row's own id where the log has one.
Parsed = tuple[str, Raw, Mapping[str, str], str]


def is_log(table: Table) -> bool:
    """Whether a table tells who took what; one that knows items alone is an item list."""
    return table.place(tables.USER) is not None and table.place(tables.ITEM) is not None


def is_item_list(table: Table) -> bool:
    """Whether a table describes items."""
    return table.place(tables.USER) is None and table.place(tables.ITEM) is not None


def log_parser(table: Table, now: float) -> Callable[[int, Row], Parsed]:
    """Reads the rows of one log; the function raises ValueError with the reason where a row says nothing.

    Args:
        table: The log.
        now: Seconds since 1970; what lies after it has not happened.
    """
    user, item = table.place(tables.USER), table.place(tables.ITEM)
    time, event, weight = table.place(tables.TIME), table.place(tables.EVENT), table.place(tables.WEIGHT)
    quantity, event_id = table.place(tables.QUANTITY), table.place(tables.EVENT_ID)
    time = table.place(tables.ORDER) if time is None else time
    rating = table.place(tables.RATING)
    context = [(name, place) for place, name in enumerate(table.columns) if plain_name(name) in tables.CONTEXT]
    kind = PURCHASE if rating is None else "rating"
    kinds: dict[Any, str] = {}
    limit = now + _FUTURE

    def parse(line: int, row: Row) -> Parsed:
        who, what = _id(row[user], "user"), _id(row[item], "item")  # type: ignore[index] # a log has both
        at = line if time is None else moment(row[time])
        if at > limit:
            raise ValueError(f"the event lies in the future: {row[time]}")  # type: ignore[index]
        name = kind
        if event is not None:
            given = row[event]
            name = kinds.get(given) or kinds.setdefault(given, kind_of(str(given or "")))
        raw = Raw(
            what,
            name,
            None if weight is None else _number(row[weight], "weight"),
            at,
            1.0 if quantity is None else _number(row[quantity], "quantity"),
        )
        known = {name: str(row[place]) for name, place in context if row[place] not in {None, ""}} if context else {}
        return who, raw, known, "" if event_id is None else str(row[event_id] or "")

    return parse


def item_parser(table: Table) -> Callable[[Row], Item]:
    """Reads the rows of one item list; the function raises ValueError with the reason where a row says nothing."""
    item = table.place(tables.ITEM)
    texts, others = [], []
    for place, name in enumerate(table.columns):
        if place == item:
            continue
        if plain_name(name) in tables.TEXT or table.types[place] == "token_seq":
            texts.append(place)
        else:
            others.append((name, place))

    def parse(row: Row) -> Item:
        text = " ".join(str(row[place]).strip() for place in texts if row[place] not in {None, ""})
        attributes = {name: str(row[place]).strip() for name, place in others if row[place] not in {None, ""}}
        return Item(_id(row[item], "item"), text, attributes)  # type: ignore[index] # an item list has it

    return parse


def moment(value: Any) -> int:
    """Seconds since 1970, or an order, of what a column holds. Raises ValueError.

    Numbers are seconds or milliseconds; texts are numbers, ISO 8601, or dates as spreadsheets write them. What names no
    zone is UTC.
    """
    if isinstance(value, int | float):
        return _seconds(value)
    if isinstance(value, datetime | date):
        whole = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
        return int((whole if whole.tzinfo else whole.replace(tzinfo=UTC)).timestamp())
    text = str(value if value is not None else "").strip()
    try:
        return _seconds(float(text))
    except ValueError:
        pass
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        pass
    for form in _FORMATS:
        try:
            return moment(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    raise ValueError(f"time {text[:40]!r} is no time")


def _seconds(number: float) -> int:
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"time {number} is no time")
    return int(number / 1000 if number >= _MILLISECONDS else number)


def _id(value: Any, what: str) -> str:
    text = str(value if value is not None else "").strip()
    if text.lower() in _NOBODY:
        raise ValueError(f"names no {what}")
    if len(text) > _LONGEST_ID:
        raise ValueError(f"its {what} has {len(text)} characters; at most {_LONGEST_ID} are taken")
    return text.removesuffix(".0") if isinstance(value, float) else text


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{what} {str(value)[:40]!r} is no number") from None
    if not math.isfinite(number) or number == 0:
        raise ValueError(f"{what} is {value}")
    return number
