"""Protobuf <-> values, with every check of what a caller sends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

from packline.recommendation.v1 import recommendation_pb2 as pb
from packline_core.errors import InvalidInput, PacklineError
from packline_core.serving.replica import Prediction

from packline_recommendation.asking import DEFAULT_K, Answer, Ask, Condition
from packline_recommendation.events import PURCHASE, REFUSALS, RETURN, WEIGHTS, Raw, kind_of
from packline_recommendation.examples import LONGEST_HISTORY, Item
from packline_recommendation.state import Told
from packline_recommendation.view import StateView

MOST_EVENTS = 10_000
MOST_ITEMS = 10_000
MOST_REQUESTS = 1000
_MOST_NAMES = 100_000
_LONGEST_ID = 200
_LONGEST_TEXT = 10_000
_FUTURE = 300  # seconds that clocks may differ
_KINDS = frozenset({*WEIGHTS, *REFUSALS, RETURN})


def to_ask(request: Any, recorded: Sequence[Raw], now: float, *, repeats: bool | None, view: StateView | None) -> Ask:
    """What a RecommendRequest asks.

    Args:
        request: The message.
        recorded: What the Pack was told of the user.
        now: Seconds since 1970.
        repeats: What the manifest says of them.
        view: The Pack's state.

    Raises:
        InvalidInput: Naming the field that is wrong.
    """
    checked_id(request.user, "user", empty=True)
    session = [checked_id(item, "items") for item in request.items[-LONGEST_HISTORY:]]
    return Ask(
        user=request.user,
        recorded=recorded,
        session=session,
        context=dict(request.context),
        now=int(now),
        k=checked_k(request),
        conditions=conditions(request.filters),
        exclude=names(request.exclude, "exclude"),
        stock=names(request.stock.items, "stock") if request.HasField("stock") else None,
        causes=not request.without_causes,
        repeats=request.repeats if request.HasField("repeats") else repeats,
        view=view,
    )


def similar_ask(request: Any, now: float, view: StateView | None) -> Ask:
    """What a SimilarItemsRequest asks: what goes with a session of that one item."""
    item = checked_id(request.item, "item")
    return Ask(
        session=(item,),
        now=int(now),
        k=checked_k(request),
        conditions=conditions(request.filters),
        exclude=names(request.exclude, "exclude") | {item},
        stock=names(request.stock.items, "stock") if request.HasField("stock") else None,
        repeats=False,
        view=view,
    )


def checked_k(request: Any) -> int:
    """How many are asked for; raises `InvalidInput` for 0."""
    if not request.HasField("k"):
        return DEFAULT_K
    if not request.k:
        raise InvalidInput("k is 0; ask for one item or more, or leave k out for 10", reason="K_IS_ZERO", field="k")
    return int(request.k)


def conditions(filters: Iterable[Any]) -> tuple[Condition, ...]:
    """Filters as conditions."""
    found = []
    for one in filters:
        if not one.attribute or not one.values:
            raise InvalidInput(
                "filters: a filter names an attribute and one value or more", reason="EMPTY_FILTER", field="filters"
            )
        found.append(Condition(one.attribute, frozenset(one.values), one.exclude))
    return tuple(found)


def names(items: Sequence[str], field: str) -> frozenset[str]:
    """Item ids of a list that restricts an answer."""
    if len(items) > _MOST_NAMES:
        raise InvalidInput(f"{field} has {len(items)} items; at most {_MOST_NAMES} are taken", field=field)
    return frozenset(items)


def checked_id(name: str, field: str, *, empty: bool = False) -> str:
    """An id; raises `InvalidInput` where it is empty, too long, or has characters that no database keeps."""
    if not name and not empty:
        raise InvalidInput(f"{field} is empty", reason="EMPTY_ID", field=field)
    if len(name) > _LONGEST_ID:
        raise InvalidInput(f"{field} has {len(name)} characters; an id has at most {_LONGEST_ID}", field=field)
    if "\0" in name:
        raise InvalidInput(f"{field} has a zero byte", field=field)
    return name


def told(events: Sequence[Any], now: float) -> list[Told]:
    """Events that a Pack is told of.

    Args:
        events: The messages.
        now: Seconds since 1970; what lies after it has not happened.

    Raises:
        InvalidInput: One of them is wrong; none is taken.
    """
    if len(events) > MOST_EVENTS:
        raise InvalidInput(
            f"{len(events)} events in one message; at most {MOST_EVENTS} are taken", reason="TOO_MANY", field="events"
        )
    return [_told(event, f"events[{number}]", now) for number, event in enumerate(events)]


def _told(event: Any, where: str, now: float) -> Told:
    at = event.at.seconds if event.HasField("at") else int(now)
    if at > now + _FUTURE:
        raise InvalidInput(
            f"{where}.at lies {at - now:.0f} s in the future; send events after they happened, and set the clock",
            reason="EVENT_IN_FUTURE",
            field=f"{where}.at",
        )
    if at < 0:
        raise InvalidInput(f"{where}.at lies before 1970", field=f"{where}.at")
    weight = event.weight if event.HasField("weight") else None
    if weight is not None and (not math.isfinite(weight) or weight == 0 or abs(weight) > 1e6):
        raise InvalidInput(f"{where}.weight is {weight}; a weight is a number other than 0", field=f"{where}.weight")
    kind = kind_of(event.event) if event.event else PURCHASE
    if kind not in _KINDS:
        raise InvalidInput(
            f"{where}.event {event.event[:40]!r} is unknown; choose {', '.join(sorted(_KINDS))}",
            reason="UNKNOWN_EVENT",
            field=f"{where}.event",
        )
    context = {checked_text(key, where): checked_text(value, where) for key, value in event.context.items()}
    raw = Raw(checked_id(event.item, f"{where}.item"), kind, weight, at)
    user = checked_id(event.user, f"{where}.user")
    return Told(checked_id(event.event_id, f"{where}.event_id"), user, raw, context)


def listed(items: Sequence[Any]) -> list[Item]:
    """Items of a list; raises `InvalidInput`."""
    if len(items) > MOST_ITEMS:
        raise InvalidInput(
            f"{len(items)} items in one message; at most {MOST_ITEMS} are taken", reason="TOO_MANY", field="items"
        )
    found = []
    for number, item in enumerate(items):
        where = f"items[{number}]"
        attributes = {checked_text(key, where): checked_text(value, where) for key, value in item.attributes.items()}
        found.append(Item(checked_id(item.item, f"{where}.item"), checked_text(item.text, where), attributes))
    return found


def checked_text(text: str, where: str) -> str:
    """A text; raises `InvalidInput` where it is too long, or has characters that no database keeps."""
    if len(text) > _LONGEST_TEXT or "\0" in text:
        raise InvalidInput(f"{where}: a text has at most {_LONGEST_TEXT} characters, and no zero byte", field=where)
    return text


def to_response(prediction: Prediction) -> pb.RecommendResponse:
    """An answer as a message."""
    (answer,) = prediction.results
    response = pb.RecommendResponse(
        prediction_id=prediction.prediction_id,
        model_version=prediction.model_version,
        basis=cast("pb.Basis.ValueType", int(answer.basis)),
        unknown_items=answer.unknown_items,
        notes=answer.notes,
    )
    put_results(response, answer)
    return response


def put_results(response: pb.RecommendResponse | pb.SimilarItemsResponse, answer: Answer) -> None:
    """Puts an answer's items into a message: made where they stay, since others would be copied there."""
    add = response.results.add
    for result in answer.results:
        message = add(item=result.item, score=result.score, text=result.text)
        for item, share in result.causes:
            message.causes.add(item=item, share=share)


def to_error(error: PacklineError) -> pb.RecommendOutcome:
    """Why one of many was refused."""
    return pb.RecommendOutcome(
        error=pb.RecommendError(code=int(error.code), reason=error.reason, message=error.message)
    )
