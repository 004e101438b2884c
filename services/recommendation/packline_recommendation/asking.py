"""What is asked and answered, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from packline_recommendation.events import Raw
from packline_recommendation.examples import Event, Query

if TYPE_CHECKING:
    from packline_recommendation.view import StateView

DEFAULT_K = 10
MOST_K = 1000


class Basis(IntEnum):
    """What an answer goes by, as in `packline.recommendation.v1.Basis`."""

    USER = 1
    SESSION = 2
    POPULAR_IN_CONTEXT = 3
    POPULAR = 4


@dataclass(frozen=True, slots=True)
class Condition:
    """What an item's attribute must be, or with `exclude` must not be: one of `values`."""

    attribute: str
    values: frozenset[str]
    exclude: bool = False

    def holds(self, attributes: Mapping[str, str]) -> bool:
        """Whether an item with these attributes satisfies it."""
        return (attributes.get(self.attribute) in self.values) is not self.exclude


@dataclass(frozen=True, slots=True)
class Ask:
    """One question.

    Attributes:
        user: A user's id; empty for a session alone.
        history: Takes the place of what the bundle knows of the user, where given.
        recorded: What the Pack was told of the user since, oldest first.
        session: Items of a session, newest last.
        hidden: Items that are not to come back.
        context: What is known of the situation.
        now: Seconds since 1970; 0 means at the newest event.
        k: How many.
        conditions: All of them must hold.
        exclude: Never these.
        stock: Only these, where given.
        causes: Whether what caused each result is asked for.
        repeats: Whether what the user has already may come back; as the version was trained where None.
        view: The Pack's state; None where there is none, as at the gate.
    """

    user: str = ""
    history: Sequence[Event] | None = None
    recorded: Sequence[Raw] = ()
    session: Sequence[str] = ()
    hidden: Sequence[str] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    now: int = 0
    k: int = DEFAULT_K
    conditions: tuple[Condition, ...] = ()
    exclude: frozenset[str] = frozenset()
    stock: frozenset[str] | None = None
    causes: bool = False
    repeats: bool | None = None
    view: StateView | None = None


class Result(NamedTuple):
    """One item of an answer; `causes` are items of the history with their shares."""

    item: str
    score: float
    text: str = ""
    causes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is recommended, best first, and what must be said about it."""

    results: tuple[Result, ...]
    basis: Basis
    unknown_items: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ask_of(query: Query) -> Ask:
    """The question that a payload asks. Without a history it is about what the bundle knows of the user."""
    given = query.history if query.history or not query.user else None
    return Ask(query.user, given, hidden=query.hidden, context=query.context, now=query.now)


def answer_json(answer: Answer) -> str:
    """An answer in the task's own JSON."""
    results = [{"item": result.item, "score": round(result.score, 6)} for result in answer.results]
    return json.dumps({"basis": answer.basis.name.lower(), "results": results}, ensure_ascii=False)


def read_answer(text: str) -> tuple[str, list[tuple[str, float]]]:
    """The basis of an answer in the task's own JSON, and its items with their scores."""
    raw: dict[str, Any] = json.loads(text)
    return str(raw.get("basis", "")), [(str(one["item"]), float(one["score"])) for one in raw["results"]]
