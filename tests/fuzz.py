"""Property-based fuzz of any gRPC service: whatever is sent, the answer is OK or a status that says why.

`fuzz(channel, SERVICE, application=…, pack=…)` sends generated messages, and random bytes, to every method of a service
descriptor. A status must carry `ErrorInfo` of this project and be neither UNKNOWN nor INTERNAL; bytes that are no
message at all are gRPC's own affair (INTERNAL, by its specification), and must leave the server standing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from packline_core.rpc import call_metadata
from packline_core.status import DETAILS_KEY, DOMAIN

_Field = FieldDescriptor
_INTEGERS = {
    _Field.TYPE_INT32: (-(2**31), 2**31 - 1),
    _Field.TYPE_SINT32: (-(2**31), 2**31 - 1),
    _Field.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    _Field.TYPE_ENUM: (-(2**31), 2**31 - 1),
    _Field.TYPE_UINT32: (0, 2**32 - 1),
    _Field.TYPE_FIXED32: (0, 2**32 - 1),
    _Field.TYPE_INT64: (-(2**63), 2**63 - 1),
    _Field.TYPE_SINT64: (-(2**63), 2**63 - 1),
    _Field.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    _Field.TYPE_UINT64: (0, 2**64 - 1),
    _Field.TYPE_FIXED64: (0, 2**64 - 1),
}
_DEEPEST = 3


def messages(descriptor: Descriptor, pack: str, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of one type; fields called `pack` name the given Pack more often than not."""
    fields = {
        field.name: _values(field, pack, depth)
        for field in descriptor.fields
        if not (field.type == _Field.TYPE_MESSAGE and depth >= _DEEPEST)
    }
    chosen = st.fixed_dictionaries({"pack": fields.pop("pack")} if "pack" in fields else {}, optional=fields)
    return chosen.map(lambda values: GetMessageClass(descriptor)(**values))


def fuzz(
    channel: grpc.Channel,
    service: ServiceDescriptor,
    *,
    application: str,
    pack: str,
    examples: int = 50,
    skip: frozenset[str] = frozenset(),
) -> None:
    """Fuzzes every method of a service.

    Args:
        channel: To the ingress, without retries.
        service: `my_pb2.DESCRIPTOR.services_by_name["MyService"]`.
        application: Who is called.
        pack: A Pack that exists.
        examples: Calls of each kind to each method.
        skip: Names of methods that are left out.
    """
    for method in service.methods:
        if method.name not in skip:
            _fuzz_method(channel, method, application, pack, examples)


def _fuzz_method(channel: grpc.Channel, method: MethodDescriptor, application: str, pack: str, examples: int) -> None:
    send = _sender(channel, method, application)
    several = st.integers(0, 4) if method.client_streaming else st.just(1)
    known = several.flatmap(
        lambda count: st.lists(
            messages(method.input_type, pack).map(lambda message: message.SerializeToString()),
            min_size=count,
            max_size=count,
        )
    )
    raw = st.binary(max_size=200).map(lambda data: [data])

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(known, raw))
    def run(requests: list[bytes]) -> None:
        parsed = all(_parses(method.input_type, request) for request in requests)
        try:
            send(requests)
        except grpc.RpcError as error:
            if parsed:
                _check(method, error)

    run()
    _check_stands(channel, application)


def _values(field: FieldDescriptor, pack: str, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return st.dictionaries(_single(key, pack, depth), _single(value, pack, depth), max_size=3)
    one = _single(field, pack, depth)
    return st.lists(one, max_size=4) if field.is_repeated else one


def _single(field: FieldDescriptor, pack: str, depth: int) -> st.SearchStrategy[Any]:
    if field.type == _Field.TYPE_MESSAGE:
        return messages(field.message_type, pack, depth + 1)
    if field.type == _Field.TYPE_STRING:
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
        return st.one_of(st.just(pack), st.just(pack), text) if field.name == "pack" else text
    if field.type == _Field.TYPE_BYTES:
        return st.binary(max_size=300)
    if field.type == _Field.TYPE_BOOL:
        return st.booleans()
    if field.type in {_Field.TYPE_FLOAT, _Field.TYPE_DOUBLE}:
        return st.floats(width=32)
    return st.integers(*_INTEGERS[field.type])


def _sender(channel: grpc.Channel, method: MethodDescriptor, application: str) -> Callable[[list[bytes]], None]:
    path = f"/{method.containing_service.full_name}/{method.name}"
    metadata = call_metadata(application)
    kind = ("stream" if method.client_streaming else "unary") + ("_stream" if method.server_streaming else "_unary")
    call = getattr(channel, kind)(path)

    def send(requests: list[bytes]) -> None:
        answer = call(iter(requests) if method.client_streaming else requests[0], metadata=metadata, timeout=30)
        if method.server_streaming:
            next(answer, None)  # some streams end with the caller only
            answer.cancel()

    return send


def _check(method: MethodDescriptor, error: Any) -> None:
    code, where = error.code(), f"{method.full_name}: {error.code()}: {error.details()}"
    assert code not in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED}, where
    reasons = list(_reasons(error))
    assert reasons and all(reasons), f"no ErrorInfo: {where}"
    assert error.details(), where


def _reasons(error: Any) -> Iterator[str]:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    assert info.domain == DOMAIN
                    yield info.reason


def _parses(descriptor: Descriptor, data: bytes) -> bool:
    try:
        GetMessageClass(descriptor).FromString(data)
    except DecodeError:
        return False
    return True


def _check_stands(channel: grpc.Channel, application: str) -> None:
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"", metadata=call_metadata(application), timeout=30) == b"\x08\x01", "it serves no longer"
