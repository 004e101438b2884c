"""The service over real gRPC, with a real bundle and a real database: what is asked, told, refused and kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from packline.recommendation.v1 import recommendation_pb2 as pb
from packline.recommendation.v1 import recommendation_pb2_grpc
from packline_core.bundle import verify
from packline_core.config import Settings, load_settings
from packline_core.errors import InvalidInput, NotFound, PacklineError
from packline_core.rpc import error_from_call
from packline_core.serving.config import Limits, Recording, ServingConfig, Version
from packline_recommendation.layout import KnownUser
from packline_recommendation.servicer import RecommendationServicer
from packline_recommendation.task import RecommendationTask

from services.recommendation.tests.bundles import DAY, NOW, circle, write_bundle
from tests.backends.fixtures import BACKENDS, Backend, open_backend

PACK = "shop"
Stub = recommendation_pb2_grpc.RecommendationServiceStub
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def replica(settings: Settings, version: Version) -> RecommendationServicer:
    servicer = RecommendationServicer(PACK, "recommendation", settings)
    config = ServingConfig(
        PACK,
        "recommendation",
        active=version,
        recording=Recording(enabled=False),
        limits=Limits(threads=1, max_queue=32),
    )
    await servicer.reconfigure(config.to_user_config())
    assert servicer.is_serving()
    return servicer


class Service:
    """One replica behind a plain gRPC server."""

    def __init__(self, settings: Settings, version: Version) -> None:
        self.settings, self.version = settings, version

    async def __aenter__(self) -> Stub:
        self.servicer = await replica(self.settings, self.version)
        self.server = grpc.aio.server()
        recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(self.servicer, self.server)
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return Stub(self.channel)

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self.server.stop(None)
        await self.servicer.drain()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Version:
    users = [KnownUser("anna", [5], [NOW - DAY], [1.0])]
    bundle = write_bundle(tmp_path_factory.mktemp("bundle"), vectors=circle(20), users=users)
    return Version("v2", bundle.digest, bundle.folder.as_uri())


@pytest.fixture(scope="module")
def popular(tmp_path_factory: pytest.TempPathFactory) -> Version:
    folder = tmp_path_factory.mktemp("popular")
    RecommendationTask().build_base("popular", folder)
    return Version("v1", verify(folder).digest, folder.as_uri())


@pytest.fixture(scope="module", params=BACKENDS)
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("home")
    with open_backend(request, request.param, home) as backend:
        yield load_settings({"PACKLINE_HOME": str(home), "PACKLINE_STATE_DATABASE": backend.database})


@pytest.fixture
def own(backend: Backend, tmp_path: Path) -> Settings:
    """An installation of the test's own."""
    return load_settings({"PACKLINE_HOME": str(tmp_path), "PACKLINE_STATE_DATABASE": backend.database})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(settings: Settings, trained: Version) -> AsyncIterator[Stub]:
    async with Service(settings, trained) as opened:
        yield opened


def event(event_id: str, user: str, item: str, kind: str = "purchase", **more: object) -> pb.Event:
    return pb.Event(event_id=event_id, user=user, item=item, event=kind, **more)  # type: ignore[arg-type]


async def recommend(stub: Stub, user: str = "", **more: object) -> list[str]:
    answer = await stub.Recommend(pb.RecommendRequest(pack=PACK, user=user, **more))  # type: ignore[arg-type]
    return [result.item for result in answer.results]


async def refused(call: object) -> PacklineError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return error_from_call(caught.value)


async def test_an_answer_names_itself_and_its_version(stub: Stub) -> None:
    answer = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="anna", k=2))
    assert (len(answer.prediction_id), answer.model_version, answer.basis) == (32, "v2", pb.BASIS_USER)
    assert {result.item for result in answer.results} == {"i4", "i6"}
    assert answer.results[0].text.startswith("Item ")
    assert len(await recommend(stub, "anna")) == 10


async def test_a_new_event_changes_the_next_answer_and_counts_once(stub: Stub) -> None:
    assert set(await recommend(stub, "newcomer", k=2)) == {"i0", "i1"}
    request = pb.RecordEventsRequest(pack=PACK, events=[event("n1", "newcomer", "i12")])
    first = await stub.RecordEvents(request)
    assert (first.recorded, first.duplicates, first.unknown_items) == (1, 0, 0)
    answer = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="newcomer", k=2))
    assert {result.item for result in answer.results} == {"i11", "i13"} and answer.basis == pb.BASIS_USER
    again = await stub.RecordEvents(request)
    assert (again.recorded, again.duplicates) == (0, 1)
    twice = await stub.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=[event("n2", "newcomer", "zz")] * 2))
    assert (twice.recorded, twice.duplicates, twice.unknown_items) == (1, 1, 2)
    await stub.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=[event("n3", "newcomer", "i13", "hide")]))
    assert "i13" not in await recommend(stub, "newcomer", k=20)
    await stub.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=[event("n4", "newcomer", "i12", "return")]))
    # Nothing that the model knows is left of its history.
    answer = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="newcomer", k=2))
    assert answer.basis == pb.BASIS_POPULAR and "i13" not in {result.item for result in answer.results}


async def test_a_stream_of_events_is_answered_message_by_message(stub: Stub) -> None:
    async def messages() -> AsyncIterator[pb.StreamEventsRequest]:
        for number in range(3):
            pack = "" if number else PACK
            yield pb.StreamEventsRequest(pack=pack, events=[event(f"s{number}", "streamer", f"i{number}")])

    answers = [answer.recorded.recorded async for answer in stub.StreamEvents(messages())]
    assert answers == [1, 1, 1]
    assert not {"i0", "i1", "i2"} & set(await recommend(stub, "streamer", k=17))


async def test_items_come_in_and_filters_heed_them_at_once(stub: Stub) -> None:
    items = [
        pb.Item(item="i3", text="품목 셋", attributes={"line": "new"}),
        pb.Item(item="fresh", text="한국어 이름", attributes={"line": "new"}),
    ]
    first = await stub.ImportItems(pb.ImportItemsRequest(pack=PACK, items=items))
    again = await stub.ImportItems(pb.ImportItemsRequest(pack=PACK, items=items))
    assert (first.changed, again.changed, again.unchanged) == (2, 0, 2)
    request = pb.RecommendRequest(pack=PACK, user="anna", filters=[pb.Filter(attribute="line", values=["new"])])
    answer = await stub.Recommend(request)
    assert [(result.item, result.text) for result in answer.results] == [("i3", "품목 셋"), ("fresh", "한국어 이름")]
    assert answer.notes[-1].startswith("only 2 of 10")


async def test_many_are_answered_each_by_itself(stub: Stub) -> None:
    requests = [pb.RecommendRequest(user="anna", k=1), pb.RecommendRequest(user="anna", k=0), pb.RecommendRequest()]
    requests += [pb.RecommendRequest(user=f"u{number}", k=3) for number in range(97)]
    many = await stub.RecommendMany(pb.RecommendManyRequest(pack=PACK, requests=requests))
    assert len(many.outcomes) == 100
    assert many.outcomes[0].answer.results[0].item in {"i4", "i6"}
    assert many.outcomes[1].error.reason == "K_IS_ZERO"
    assert all(len(outcome.answer.results) == 3 for outcome in many.outcomes[3:])
    assert len({outcome.answer.prediction_id for outcome in many.outcomes}) == 100
    error = await refused(stub.RecommendMany(pb.RecommendManyRequest(pack=PACK, requests=requests * 11)))
    assert error.reason == "TOO_MANY"


async def test_calls_for_many_are_not_refused_for_one_another(stub: Stub) -> None:
    requests = [pb.RecommendRequest(user=f"u{number}", k=3) for number in range(64)]
    calls = [stub.RecommendMany(pb.RecommendManyRequest(pack=PACK, requests=requests)) for _ in range(8)]
    for many in await asyncio.gather(*calls):
        assert [outcome.error.reason for outcome in many.outcomes if outcome.HasField("error")] == []


async def test_similar_items(stub: Stub) -> None:
    answer = await stub.SimilarItems(pb.SimilarItemsRequest(pack=PACK, item="i7", k=2))
    assert {result.item for result in answer.results} == {"i6", "i8"} and answer.model_version == "v2"
    error = await refused(stub.SimilarItems(pb.SimilarItemsRequest(pack=PACK, item="nothing")))
    assert isinstance(error, NotFound) and error.reason == "UNKNOWN_ITEM"


async def test_bad_events_are_refused_whole_and_in_words(stub: Stub) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=2)
    bad = {
        "in the future": event("b", "u", "i1", at=ahead),
        "EMPTY_ID": event("", "u", "i1"),
        "user is empty": event("b", "", "i1"),
        "unknown; choose": event("b", "u", "i1", "teleport"),
        "other than 0": event("b", "u", "i1", weight=0.0),
        "has 300 characters": event("b", "u" * 300, "i1"),
        "zero byte": event("b", "u", "i\0"),
    }
    for words, one in bad.items():
        request = pb.RecordEventsRequest(pack=PACK, events=[event(f"fine-{words}", "refused", "i1"), one])
        error = await refused(stub.RecordEvents(request))
        assert isinstance(error, InvalidInput) and words in error.message + error.reason
        assert error.field.startswith("events[1]")
    assert (await stub.Recommend(pb.RecommendRequest(pack=PACK, user="refused"))).notes == ["user refused is unknown"]
    assert (await refused(stub.RecordEvents(pb.RecordEventsRequest(pack=PACK)))).reason == "EMPTY"
    assert (await refused(stub.RecordEvents(pb.RecordEventsRequest(pack="other")))).reason == "UNKNOWN_PACK"


async def test_bad_questions_are_refused_in_words(stub: Stub) -> None:
    error = await refused(stub.Recommend(pb.RecommendRequest(pack=PACK, user="anna", k=0)))
    assert isinstance(error, InvalidInput) and (error.reason, error.field) == ("K_IS_ZERO", "k")
    empty = pb.RecommendRequest(pack=PACK, user="anna", filters=[pb.Filter(attribute="line")])
    assert (await refused(stub.Recommend(empty))).reason == "EMPTY_FILTER"
    assert (await refused(stub.Recommend(pb.RecommendRequest(pack="other")))).reason == "UNKNOWN_PACK"
    zero = await refused(stub.Recommend(pb.RecommendRequest(pack=PACK, user="an\0na")))
    assert isinstance(zero, InvalidInput) and zero.field == "user"
    many = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="anna", k=1_000_000))
    items = {result.item for result in many.results}
    assert {f"i{number}" for number in range(20)} - items == {"i5"} and "k was reduced from 1000000" in many.notes[0]


async def test_a_new_pack_recommends_what_it_is_told_of(own: Settings, popular: Version) -> None:
    async with Service(own, popular) as stub:
        answer = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="first"))
        assert not answer.results and answer.basis == pb.BASIS_POPULAR and answer.model_version == "v1"
        await stub.ImportItems(pb.ImportItemsRequest(pack=PACK, items=[pb.Item(item=f"p{n}") for n in range(5)]))
        assert len(await recommend(stub, "first")) == 5
        korea = {"country": "KR"}
        told = [event(f"e{n}", f"u{n}", "p3", context=korea) for n in range(3)]
        told += [event(f"f{n}", f"v{n}", "p4") for n in range(9)]
        await stub.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=told))
        for _ in range(100):
            if (await recommend(stub, "first", k=2)) == ["p4", "p3"]:
                break
            await asyncio.sleep(0.05)
        assert await recommend(stub, "first", k=2) == ["p4", "p3"]
        there = await stub.Recommend(pb.RecommendRequest(pack=PACK, user="first", context=korea, k=1))
        assert there.results[0].item == "p3" and there.basis == pb.BASIS_POPULAR_IN_CONTEXT
    # What was acknowledged is there for the next replica.
    async with Service(own, popular) as stub:
        assert await recommend(stub, "first", k=2) == ["p4", "p3"]


async def test_replicas_share_what_they_are_told(own: Settings, trained: Version) -> None:
    async with Service(own, trained) as one, Service(own, trained) as other:
        await one.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=[event("e", "shared", "i12")]))
        assert set(await recommend(other, "shared", k=2)) == {"i11", "i13"}
        again = await other.RecordEvents(pb.RecordEventsRequest(pack=PACK, events=[event("e", "shared", "i12")]))
        assert again.duplicates == 1
