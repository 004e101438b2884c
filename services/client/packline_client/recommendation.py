"""Recommending: the answer's types and the calls of `client.recommendation`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from packline.recommendation.v1 import recommendation_pb2 as pb
from packline_core.errors import PacklineError
from packline_core.status import error_of

from packline_client.call import AsyncService, Call, Service, streaming, unary
from packline_client.convert import from_proto

_RPC = pb.DESCRIPTOR.services_by_name["RecommendationService"].methods_by_name


class Basis(StrEnum):
    """What an answer goes by."""

    UNSPECIFIED = "unspecified"
    USER = "user"
    SESSION = "session"
    POPULAR_IN_CONTEXT = "popular_in_context"
    POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class Cause:
    """An item of the history that speaks for a result, with its share of the causes named."""

    item: str
    share: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item; scores are comparable within one answer."""

    item: str
    score: float
    text: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Recommendations:
    """An answer.

    Attributes:
        prediction_id: Names this answer; give it to `monitoring.correct`.
        model_version: The version that answered, such as `v3`.
        results: Best first.
        basis: What it goes by.
        unknown_items: Items of the session that the Pack does not know.
        notes: Why it is not quite what was asked for.
    """

    prediction_id: str
    model_version: str
    results: tuple[Recommendation, ...]
    basis: Basis
    unknown_items: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """Only the ids."""
        return tuple(result.item for result in self.results)


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Items that go with one item."""

    prediction_id: str
    model_version: str
    results: tuple[Recommendation, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What a user did.

    Attributes:
        user: Who.
        item: With what.
        event: purchase, view, click, cart, rating, like, dismiss, hide, return.
        at: When; now where left out.
        weight: What it counts for; as its kind does where left out.
        event_id: Makes it count once; a new one where left out.
        context: What is known of the user, such as its country.
    """

    user: str
    item: str
    event: str = "purchase"
    at: datetime | None = None
    weight: float | None = None
    event_id: str = field(default_factory=lambda: uuid4().hex)
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the list."""

    item: str
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of events: new ones, known ones, and new ones whose item nobody knows."""

    recorded: int
    duplicates: int
    unknown_items: int


@dataclass(frozen=True, slots=True)
class ImportedItems:
    """What came of items."""

    changed: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one of many requests: either `answer` or `error` is there."""

    answer: Recommendations | None
    error: PacklineError | None


class _Calls:
    @unary
    def recommend(
        self,
        pack: str,
        user: str = "",
        *,
        items: Sequence[str] = (),
        k: int | None = None,
        filters: Mapping[str, str | Sequence[str]] | None = None,
        exclude: Sequence[str] = (),
        stock: Sequence[str] | None = None,
        context: Mapping[str, str] | None = None,
        repeats: bool | None = None,
        causes: bool = True,
        request_key: str = "",
        timeout: float | None = None,
    ) -> Call[Recommendations]:
        """What a user, or the visitor of a session, may want next.

        Args:
            pack: The Pack that is to answer.
            user: A user's id; one that is unknown gets what is popular.
            items: Items of a session, newest last.
            k: How many; 10 where left out.
            filters: Attribute -> value, or values of which one must be the item's.
            exclude: Never these.
            stock: Only these, where given.
            context: What is known of the situation, such as the country.
            repeats: Whether what the user has already may come back; as the model learned where left out.
            causes: Whether to say what speaks for each result.
            request_key: All calls with one key stay on one version during a canary; the user where left out.
            timeout: Seconds; the client's where left out.

        Raises:
            PacklineError: Of the class that says what went wrong.
        """
        request = pb.RecommendRequest(
            pack=pack,
            user=user,
            items=items,
            filters=_filters(filters),
            exclude=exclude,
            context=dict(context or {}),
            without_causes=not causes,
        )
        if k is not None:
            request.k = k
        if repeats is not None:
            request.repeats = repeats
        if stock is not None:
            request.stock.items.extend(stock)
            request.stock.SetInParent()
        return Call(_RPC["Recommend"], pack, request, parse_recommendations, timeout, request_key or user)

    @unary
    def recommend_many(
        self, pack: str, users: Sequence[str], *, k: int | None = None, timeout: float | None = None
    ) -> Call[tuple[Outcome, ...]]:
        """The same for many users at once, each answered or refused by itself, in order."""
        requests = [pb.RecommendRequest(user=user, k=k, without_causes=True) for user in users]
        request = pb.RecommendManyRequest(pack=pack, requests=requests)
        return Call(_RPC["RecommendMany"], pack, request, lambda m: tuple(map(_outcome, m.outcomes)), timeout)

    @unary
    def similar_items(
        self, pack: str, item: str, *, k: int | None = None, timeout: float | None = None
    ) -> Call[SimilarItems]:
        """Items that go with one item."""
        request = pb.SimilarItemsRequest(pack=pack, item=item, k=k)
        return Call(_RPC["SimilarItems"], pack, request, lambda m: from_proto(SimilarItems, m), timeout)

    @unary
    def record_events(self, pack: str, events: Iterable[Event], *, timeout: float | None = None) -> Call[Recorded]:
        """Tells what users did, all or none; durable once it returns, and heeded by their next answers."""
        request = pb.RecordEventsRequest(pack=pack, events=[_event(event) for event in events])
        return Call(_RPC["RecordEvents"], pack, request, lambda m: from_proto(Recorded, m), timeout)

    @streaming
    def stream_events(
        self, pack: str, events: Iterable[Event] | AsyncIterable[Event], *, timeout: float | None = None
    ) -> Call[Recorded]:
        """Tells what users did as it happens; each answer says that one event more is durable."""
        requests = _async_requests(pack, events) if isinstance(events, AsyncIterable) else _requests(pack, events)
        return Call(_RPC["StreamEvents"], pack, requests, lambda m: from_proto(Recorded, m.recorded), timeout)

    @unary
    def import_items(self, pack: str, items: Iterable[Item], *, timeout: float | None = None) -> Call[ImportedItems]:
        """Takes items of the list in: new ones, or others in the place of those with the same id."""
        messages = [pb.Item(item=one.item, text=one.text, attributes=dict(one.attributes)) for one in items]
        request = pb.ImportItemsRequest(pack=pack, items=messages)
        return Call(_RPC["ImportItems"], pack, request, lambda m: from_proto(ImportedItems, m), timeout)


class Recommending(_Calls, Service):
    """`client.recommendation`."""


class AsyncRecommending(_Calls, AsyncService):
    """`async_client.recommendation`."""


def parse_recommendations(message: Any) -> Recommendations:
    """A `RecommendResponse`."""
    return from_proto(Recommendations, message)


def _outcome(message: Any) -> Outcome:
    if message.WhichOneof("result") == "error":
        return Outcome(None, error_of(message.error.code, message.error.message, message.error.reason))
    return Outcome(parse_recommendations(message.answer), None)


def _filters(filters: Mapping[str, str | Sequence[str]] | None) -> list[pb.Filter]:
    return [
        pb.Filter(attribute=attribute, values=[values] if isinstance(values, str) else values)
        for attribute, values in (filters or {}).items()
    ]


def _event(event: Event) -> pb.Event:
    message = pb.Event(
        event_id=event.event_id, user=event.user, item=event.item, event=event.event, context=dict(event.context)
    )
    if event.weight is not None:
        message.weight = event.weight
    if event.at is not None:
        message.at.FromDatetime(event.at.astimezone(UTC))
    return message


def _requests(pack: str, events: Iterable[Event]) -> Iterator[pb.StreamEventsRequest]:
    for event in events:
        yield pb.StreamEventsRequest(pack=pack, events=[_event(event)])


async def _async_requests(pack: str, events: AsyncIterable[Event]) -> AsyncIterator[pb.StreamEventsRequest]:
    async for event in events:
        yield pb.StreamEventsRequest(pack=pack, events=[_event(event)])
