"""Errors over a real grpc.aio server: what a caller is told, and what comes back as an exception."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from hypothesis import given
from hypothesis import strategies as st
from packline_core import errors
from packline_core.errors import Code, InvalidInput, Overloaded, PacklineError, StorageFull
from packline_core.rpc import Call, call_metadata, error_from_call, open_aio_channel, rpc
from packline_core.status import from_status, to_status

CLASSES = [InvalidInput, errors.NotFound, errors.AlreadyExists, errors.FailedPrecondition, errors.Conflict]
CLASSES += [StorageFull, errors.DeadlineExceeded, errors.Unavailable, errors.Cancelled]


class Servicer:
    """Says back what it is told, or raises what the test put into it."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.seen: list[Call] = []
        self.cancelled = asyncio.Event()

    @rpc
    async def Unary(self, request: StringValue, call: Call) -> StringValue:
        self.seen.append(call)
        if request.value == "sleep":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if self.error:
            raise self.error
        return request

    @rpc
    async def Stream(self, request: StringValue, call: Call) -> AsyncIterator[StringValue]:
        yield request
        if self.error:
            raise self.error


@pytest.fixture
async def served() -> AsyncIterator[tuple[Servicer, Any, Any]]:
    servicer = Servicer()
    server = grpc.aio.server()
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(
            servicer.Unary, StringValue.FromString, StringValue.SerializeToString
        ),
        "Stream": grpc.unary_stream_rpc_method_handler(
            servicer.Stream, StringValue.FromString, StringValue.SerializeToString
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_aio_channel(f"127.0.0.1:{port}", "some-pack", retries=False) as channel:
        serialize, parse = StringValue.SerializeToString, StringValue.FromString
        unary = channel.unary_unary("/test.Test/Unary", serialize, parse)
        stream = channel.unary_stream("/test.Test/Stream", serialize, parse)
        yield servicer, unary, stream
    await server.stop(None)


async def failure(call: Any) -> PacklineError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return error_from_call(caught.value)


async def test_an_error_arrives_whole(served: Any) -> None:
    servicer, unary, _ = served
    servicer.error = InvalidInput("first_page: 7 of 3 pages", reason="PAGE_RANGE", field="first_page", pages="3")
    error = await failure(unary(StringValue(value="x")))
    assert isinstance(error, InvalidInput)
    assert (error.message, error.reason, error.field) == ("first_page: 7 of 3 pages", "PAGE_RANGE", "first_page")
    assert error.metadata == {"pages": "3"}


async def test_overload_says_when_to_come_back(served: Any) -> None:
    servicer, unary, _ = served
    servicer.error = Overloaded("busy", retry_after=1.25)
    error = await failure(unary(StringValue(value="x")))
    assert isinstance(error, Overloaded)
    assert error.retry_after == 1.25


async def test_an_unforeseen_error_leaks_nothing(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    servicer, unary, _ = served
    servicer.error = RuntimeError("the password is 1234")
    error = await failure(unary(StringValue(value="x")))
    assert type(error) is PacklineError and error.code is Code.INTERNAL
    assert "1234" not in error.message
    assert error.metadata["error_id"] in caplog.text and "1234" in caplog.text


async def test_a_stream_ends_with_its_error_after_what_it_sent(served: Any) -> None:
    servicer, _, stream = served
    servicer.error = errors.NotFound("gone")
    call = stream(StringValue(value="x"))
    assert (await call.read()).value == "x"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert isinstance(error_from_call(caught.value), errors.NotFound)


async def test_the_channel_names_the_application_and_the_call_its_key(served: Any) -> None:
    servicer, unary, _ = served
    await unary(StringValue(value="x"), metadata=(("packline-request-key", "k"), ("packline-subject", "ann")))
    (call,) = servicer.seen
    assert (call.method, call.application, call.request_key, call.subject) == ("Unary", "some-pack", "k", "ann")


async def test_work_ends_with_its_deadline(served: Any) -> None:
    servicer, unary, _ = served
    error = await failure(unary(StringValue(value="sleep"), timeout=0.5))
    assert isinstance(error, errors.DeadlineExceeded)
    await asyncio.wait_for(servicer.cancelled.wait(), 30)
    assert servicer.seen[0].deadline is not None


def test_metadata_of_a_call() -> None:
    assert call_metadata("p") == (("application", "p"),)
    assert call_metadata("p", "k") == (("application", "p"), ("packline-request-key", "k"))


TEXT = st.text(max_size=3000)
KEYS = st.from_regex(r"[a-z_]{1,12}", fullmatch=True).filter(
    lambda key: key not in {"message", "reason", "field", "retry_after", "self"}
)


@given(st.sampled_from(CLASSES), TEXT, st.from_regex(r"[A-Z_]{1,40}", fullmatch=True), st.dictionaries(KEYS, TEXT))
def test_every_error_survives_the_wire(cls: Any, message: str, reason: str, metadata: dict[str, str]) -> None:
    if cls is StorageFull:
        reason = "STORAGE_FULL"
    status = to_status(cls(message, reason=reason, **metadata))
    back = from_status(status)
    assert type(back) is cls and back.reason == reason and set(back.metadata) == set(metadata)
    assert message.startswith(back.message.removesuffix("…"))
    if sum(len(key) for key in metadata) < 200 and len(metadata) < 10:
        assert status.ByteSize() < 8000  # trailers are limited


def test_an_error_of_other_make_is_understood() -> None:
    status = to_status(PacklineError("x"))
    del status.details[:]
    status.code = 14
    assert isinstance(from_status(status), errors.Unavailable)
