"""What the SDK asks of a recommendation Pack, and how it reads the answers, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from packline.recommendation.v1 import recommendation_pb2 as pb
from packline.recommendation.v1 import recommendation_pb2_grpc
from packline_client import AsyncClient, Client
from packline_client.recommendation import Basis, Cause, Event, Item
from packline_core.errors import InvalidInput, NotFound
from packline_core.rpc import Call, rpc

from .conftest import served


class Shop(recommendation_pb2_grpc.RecommendationServiceServicer):
    """Recommends bolts to everyone but `nobody`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.keys: list[str] = []

    def _answer(self, user: str) -> pb.RecommendResponse:
        cause = pb.Cause(item="nut", share=1.0)
        result = pb.Recommendation(item="bolt", score=0.5, text="볼트", causes=[cause])
        return pb.RecommendResponse(
            prediction_id=f"for {user}", model_version="v3", results=[result], basis=pb.BASIS_USER, notes=["one left"]
        )

    @rpc
    async def Recommend(self, request: pb.RecommendRequest, call: Call) -> pb.RecommendResponse:
        self.asked.append(request)
        self.keys.append(call.request_key)
        if request.HasField("k") and not request.k:
            raise InvalidInput("k is 0", reason="INVALID_K", field="k")
        return self._answer(request.user)

    @rpc
    async def RecommendMany(self, request: pb.RecommendManyRequest, call: Call) -> pb.RecommendManyResponse:
        self.asked.append(request)
        refused = pb.RecommendError(code=5, reason="UNKNOWN_USER", message="nobody is unknown")
        return pb.RecommendManyResponse(
            outcomes=[
                pb.RecommendOutcome(error=refused)
                if one.user == "nobody"
                else pb.RecommendOutcome(answer=self._answer(one.user))
                for one in request.requests
            ]
        )

    @rpc
    async def SimilarItems(self, request: pb.SimilarItemsRequest, call: Call) -> pb.SimilarItemsResponse:
        self.asked.append(request)
        return pb.SimilarItemsResponse(prediction_id="p", model_version="v3", results=self._answer("").results)

    @rpc
    async def RecordEvents(self, request: pb.RecordEventsRequest, call: Call) -> pb.RecordEventsResponse:
        self.asked.append(request)
        return pb.RecordEventsResponse(recorded=len(request.events), unknown_items=1)

    @rpc
    async def StreamEvents(
        self, request: AsyncIterator[pb.StreamEventsRequest], call: Call
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        async for message in request:
            self.asked.append(message)
            yield pb.StreamEventsResponse(recorded=pb.RecordEventsResponse(recorded=len(message.events)))

    @rpc
    async def ImportItems(self, request: pb.ImportItemsRequest, call: Call) -> pb.ImportItemsResponse:
        self.asked.append(request)
        return pb.ImportItemsResponse(changed=len(request.items))


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def shop_address(shop: Shop) -> Iterator[str]:
    with served(lambda server: recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(shop, server)) as at:
        yield at


@pytest.fixture
def shopping(shop_address: str) -> Iterator[Client]:
    with Client(shop_address, timeout=20) as made:
        yield made


def test_an_answer_comes_as_dataclasses(shopping: Client, shop: Shop) -> None:
    answer = shopping.recommendation.recommend("wholesale", "anna")
    assert (answer.prediction_id, answer.model_version, answer.basis) == ("for anna", "v3", Basis.USER)
    assert (answer.items, answer.notes, answer.unknown_items) == (("bolt",), ("one left",), ())
    assert (answer.results[0].text, answer.results[0].causes) == ("볼트", (Cause("nut", 1.0),))
    assert shop.asked == [pb.RecommendRequest(pack="wholesale", user="anna")]


def test_a_user_stays_on_one_version_unless_told_otherwise(shopping: Client, shop: Shop) -> None:
    shopping.recommendation.recommend("wholesale", "anna")
    shopping.recommendation.recommend("wholesale", "anna", request_key="household 7")
    assert shop.keys == ["anna", "household 7"]


def test_everything_that_can_be_asked_arrives(shopping: Client, shop: Shop) -> None:
    shopping.recommendation.recommend(
        "wholesale",
        items=["nut", "washer"],
        k=3,
        filters={"colour": "red", "size": ["M6", "M8"]},
        exclude=["screw"],
        stock=["bolt"],
        context={"country": "KR"},
        repeats=False,
        causes=False,
    )
    (asked,) = shop.asked
    assert asked == pb.RecommendRequest(
        pack="wholesale",
        items=["nut", "washer"],
        k=3,
        filters=[pb.Filter(attribute="colour", values=["red"]), pb.Filter(attribute="size", values=["M6", "M8"])],
        exclude=["screw"],
        stock=pb.Stock(items=["bolt"]),
        context={"country": "KR"},
        repeats=False,
        without_causes=True,
    )


def test_an_empty_stock_is_not_no_stock(shopping: Client, shop: Shop) -> None:
    shopping.recommendation.recommend("wholesale", "anna", stock=[])
    assert shop.asked[0].HasField("stock") and not shop.asked[0].HasField("repeats")


def test_a_wrong_question_names_its_field(shopping: Client) -> None:
    with pytest.raises(InvalidInput) as raised:
        shopping.recommendation.recommend("wholesale", "anna", k=0)
    assert (raised.value.reason, raised.value.field) == ("INVALID_K", "k")


def test_of_many_each_is_answered_or_refused_by_itself(shopping: Client) -> None:
    first, second = shopping.recommendation.recommend_many("wholesale", ["anna", "nobody"], k=1)
    assert first.answer is not None and first.answer.items == ("bolt",) and first.error is None
    assert second.answer is None and isinstance(second.error, NotFound)
    assert (second.error.reason, second.error.message) == ("UNKNOWN_USER", "nobody is unknown")


def test_similar_items_and_item_lists(shopping: Client, shop: Shop) -> None:
    assert [one.item for one in shopping.recommendation.similar_items("wholesale", "nut", k=2).results] == ["bolt"]
    items = [Item("bolt", "볼트", {"size": "M6"}), Item("nut")]
    assert shopping.recommendation.import_items("wholesale", items).changed == 2
    similar, listed = shop.asked
    assert (similar.item, similar.k) == ("nut", 2)
    assert (listed.items[0].text, dict(listed.items[0].attributes)) == ("볼트", {"size": "M6"})


def test_an_event_is_told_with_its_time_in_utc_and_an_id_of_its_own(shopping: Client, shop: Shop) -> None:
    seoul = datetime(2026, 3, 1, 9, 30, tzinfo=timezone(timedelta(hours=9)))
    told = [Event("anna", "bolt", "click", at=seoul, weight=0.0), Event("anna", "bolt", event_id="mine")]
    recorded = shopping.recommendation.record_events("wholesale", told)
    assert (recorded.recorded, recorded.duplicates, recorded.unknown_items) == (2, 0, 1)
    first, second = shop.asked[0].events
    assert first.at.ToDatetime(UTC) == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    assert first.HasField("weight") and not second.HasField("weight") and not second.HasField("at")
    assert first.event_id and (second.event_id, second.event) == ("mine", "purchase")
    assert told[0].event_id != Event("anna", "bolt").event_id


def test_events_stream_one_by_one(shopping: Client, shop: Shop) -> None:
    events = (Event("anna", f"item {number}") for number in range(3))
    assert [one.recorded for one in shopping.recommendation.stream_events("wholesale", events)] == [1, 1, 1]
    assert [message.events[0].item for message in shop.asked] == ["item 0", "item 1", "item 2"]


async def test_asyncio_has_the_same_calls(shop_address: str, shop: Shop) -> None:
    async def happens() -> AsyncIterator[Event]:
        for number in range(2):
            yield Event("anna", f"item {number}")

    async with AsyncClient(shop_address, timeout=20) as client:
        assert (await client.recommendation.recommend("wholesale", "anna")).items == ("bolt",)
        told = [one.recorded async for one in client.recommendation.stream_events("wholesale", happens())]
    assert told == [1, 1]
