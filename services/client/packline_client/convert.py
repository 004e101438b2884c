"""Protobuf messages to frozen dataclasses, by the dataclass's own fields.

A field is filled from the message's field of the same name: timestamps become aware datetimes, durations timedeltas,
enums `StrEnum`s without their prefix, repeated fields tuples, maps dicts, messages dataclasses. A field that may be
`None` is `None` where the message does not have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

T = TypeVar("T")


def from_proto(kind: type[T], message: Message) -> T:
    """Fills the dataclass `kind` from a message."""
    return kind(**{name: read(message) for name, read in _readers(kind)})  # type: ignore[arg-type] # a class is hashable


@cache
def _readers(kind: type[Any]) -> tuple[tuple[str, Callable[[Message], Any]], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, _reader(field.name, hints[field.name])) for field in fields(kind))


def _reader(name: str, hint: Any) -> Callable[[Message], Any]:
    if get_origin(hint) is UnionType:
        (inner,) = (part for part in get_args(hint) if part is not NoneType)
        read = _reader(name, inner)
        return lambda message: read(message) if message.HasField(name) else None
    if get_origin(hint) is tuple:
        convert = _value(get_args(hint)[0])
        return lambda message: tuple(convert(item) for item in getattr(message, name))
    if get_origin(hint) is Mapping:
        return lambda message: dict(getattr(message, name))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return lambda message: _enum(hint, message, name)
    convert = _value(hint)
    return lambda message: convert(getattr(message, name))


def _value(hint: Any) -> Callable[[Any], Any]:
    if hint is datetime:
        return lambda stamp: stamp.ToDatetime(tzinfo=UTC)
    if hint is timedelta:
        return lambda duration: duration.ToTimedelta()
    if is_dataclass(hint):
        return lambda message: from_proto(hint, message)  # type: ignore[arg-type]
    return lambda value: value


def _enum(kind: type[StrEnum], message: Message, name: str) -> StrEnum:
    """RUN_STATE_QUEUED of enum RunState as `queued`; a value from a newer server as `unspecified`."""
    enum: Any = message.DESCRIPTOR.fields_by_name[name].enum_type
    value = enum.values_by_number.get(getattr(message, name))
    zero = enum.values_by_number[0].name
    label = value.name.removeprefix(zero.removesuffix("UNSPECIFIED")).lower() if value else "unspecified"
    return kind(label if label in set(kind) else "unspecified")
