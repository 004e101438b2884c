"""Kinds of events, what each counts for, and what returns and cancellations leave of a user's history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packline_recommendation.examples import Event

PURCHASE = "purchase"
# What an event counts for where the log does not say. What a sender calls by another name counts as a purchase.
WEIGHTS = {
    "view": 0.2,
    "click": 0.3,
    "like": 0.7,
    "cart": 0.5,
    "rating": 1.0,
    PURCHASE: 1.0,
}
_ALIASES = {
    "order": PURCHASE,
    "buy": PURCHASE,
    "transaction": PURCHASE,
    "sale": PURCHASE,
    "pageview": "view",
    "impression": "view",
    "addtocart": "cart",
    "add_to_cart": "cart",
    "basket": "cart",
    "favorite": "like",
    "favourite": "like",
    "refund": "return",
    "returned": "return",
    "cancel": "return",
    "cancellation": "return",
    "cancelled": "return",
    "canceled": "return",
    "dislike": "hide",
}
RETURN = "return"
# They keep an item from one user, and nothing is learned from them.
REFUSALS = frozenset({"dismiss", "hide"})


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of a log, or one recorded event.

    Attributes:
        item: Item id.
        event: Its kind, as `kind_of` gives it.
        weight: What it counts for; None for what its kind does. Negative for a return.
        time: Seconds, or an order.
        quantity: How many were taken; a return takes as many back.
    """

    item: str
    event: str
    weight: float | None
    time: int
    quantity: float = 1.0

    @property
    def is_return(self) -> bool:
        """Whether it takes a purchase back."""
        return self.event == RETURN or self.quantity < 0 or (self.weight is not None and self.weight < 0)


def kind_of(name: str) -> str:
    """The kind that a name stands for: lower case, without the many words for one thing."""
    plain = name.strip().lower().replace(" ", "_").replace("-", "_") or PURCHASE
    return _ALIASES.get(plain, plain)


def settled(rows: Iterable[Raw]) -> tuple[list[Event], list[str]]:
    """What holds of a user's rows: events with returns taken off, oldest first, and the items that it refused.

    A return takes back the newest purchases of its item before it, as many as it says; what is left of a purchase
    counts in full, since a smaller order is an order too. A return of what was never bought is left out. A purchase
    after a refusal ends the refusal. Rows of equal item, kind and time are one event. Rows of equal time stay in their
    order.
    """
    kept: list[tuple[Raw, float]] = []
    places: dict[tuple[str, str, int], int] = {}
    hidden: dict[str, None] = {}
    for row in sorted(rows, key=lambda one: one.time):
        if row.event in REFUSALS:
            hidden[row.item] = None
        elif row.is_return:
            _take_back(kept, row)
        else:
            hidden.pop(row.item, None)
            same = places.setdefault((row.item, row.event, row.time), len(kept))
            if same < len(kept):
                kept[same] = (kept[same][0], kept[same][1] + row.quantity)
            else:
                kept.append((row, row.quantity))
    events = [Event(row.item, row.event, _weight(row), row.time) for row, left in kept if left > 0]
    return events, list(hidden)


def newest_apart(events: Sequence[Event]) -> tuple[Sequence[Event], Sequence[Event]]:
    """A history cut before its newest moment: what came at once (an order's lines) stays together."""
    if not events:
        return (), ()
    newest = events[-1].time
    cut = next(place for place, event in enumerate(events) if event.time == newest)
    return events[:cut], events[cut:]


def _take_back(kept: list[tuple[Raw, float]], row: Raw) -> None:
    amount = abs(row.quantity) or 1.0
    for place in range(len(kept) - 1, -1, -1):
        bought, left = kept[place]
        if bought.item == row.item and bought.event == PURCHASE and left > 0:
            taken = min(left, amount)
            kept[place] = (bought, left - taken)
            amount -= taken
            if amount <= 0:
                return


def _weight(row: Raw) -> float:
    if row.weight is not None and row.weight > 0:
        return row.weight
    return WEIGHTS.get(row.event, 1.0)
