"""`PacklineError` to gRPC status and back: `google.rpc.Status` with ErrorInfo, BadRequest and RetryInfo."""

from __future__ import annotations

import re
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from packline_core import errors
from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.errors import Code, InvalidInput, Overloaded, PacklineError

DOMAIN = "packline.dev"
DETAILS_KEY = "grpc-status-details-bin"
# HTTP/2 trailers are limited to 8 KiB in most peers, and the text travels twice.
_LONGEST_MESSAGE = 1500
_LONGEST_VALUE = 200
_NO_APPLICATION = re.compile(r"Application '(.+?)' not found")

_BY_CODE: dict[int, type[PacklineError]] = {
    Code.CANCELLED: errors.Cancelled,
    Code.INVALID_ARGUMENT: InvalidInput,
    Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Code.NOT_FOUND: errors.NotFound,
    Code.ALREADY_EXISTS: errors.AlreadyExists,
    Code.FAILED_PRECONDITION: errors.FailedPrecondition,
    Code.ABORTED: errors.Conflict,
    Code.UNIMPLEMENTED: errors.Unimplemented,
    Code.UNAVAILABLE: errors.Unavailable,
}
_STATUS_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def status_code(error: PacklineError) -> grpc.StatusCode:
    """The error's code as gRPC's own value."""
    return _STATUS_CODES[int(error.code)]


def status_message(error: PacklineError) -> str:
    """The error's words, as long as trailers may be."""
    return _cut(error.message, _LONGEST_MESSAGE)


def to_status(error: PacklineError) -> Status:
    """The error as `google.rpc.Status`."""
    metadata = {key: _cut(str(value), _LONGEST_VALUE) for key, value in error.metadata.items()}
    details: list[Message] = [ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)]
    message = status_message(error)
    if isinstance(error, InvalidInput) and error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=_cut(message, _LONGEST_VALUE))
        details.append(BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(RetryInfo(retry_delay=delay))
    return Status(code=int(error.code), message=message, details=[_packed(detail) for detail in details])


def from_status(status: Status) -> PacklineError:
    """The error that `to_status` described; the closest one for a status of other make."""
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad, retry):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    metadata = {key: value for key, value in info.metadata.items() if key.isidentifier()}
    for taken in ("message", "reason", "field", "retry_after", "self"):
        metadata.pop(taken, None)
    field = bad.field_violations[0].field if bad.field_violations else ""
    retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return _error(
        status.code, status.message, reason=info.reason, field=field, retry_after=retry_after, metadata=metadata
    )


def error_of(code: int, message: str, reason: str) -> PacklineError:
    """The error that stands in an answer rather than in a call's status, such as one page's in a stream."""
    return _error(code, message, reason=reason, field="", retry_after=1.0, metadata={})


def error_from_call(error: grpc.RpcError) -> PacklineError:
    """The error that a failed call brought back, of whatever origin: a service, the ingress, or gRPC itself."""
    call: Any = error
    code = call.code() if callable(getattr(call, "code", None)) else grpc.StatusCode.UNKNOWN
    details = (call.details() or "") if callable(getattr(call, "details", None)) else str(error)
    trailers = call.trailing_metadata() if callable(getattr(call, "trailing_metadata", None)) else None
    for key, value in trailers or ():
        if key == DETAILS_KEY:
            try:
                return from_status(Status.FromString(value))
            except DecodeError:
                break
    return _foreign(code, details)


def _foreign(code: grpc.StatusCode, details: str) -> PacklineError:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return InvalidInput(
            f"the message is too large for one call ({details}); use the streaming method", reason="MESSAGE_TOO_LARGE"
        )
    if code is grpc.StatusCode.NOT_FOUND:
        return _no_application(details)
    if code is grpc.StatusCode.UNAVAILABLE:
        return errors.Unavailable(f"the service cannot be reached: {details}", reason="UNREACHABLE")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.Unimplemented(f"the service has no such method: {details}")
    return _error(code.value[0], details or code.name, reason="", field="", retry_after=1.0, metadata={})


def _no_application(details: str) -> PacklineError:
    """What Serve's ingress says of an application that it does not know, in our words."""
    found = _NO_APPLICATION.search(details)
    if found is None:
        return errors.NotFound(details or "no such Pack", reason="UNKNOWN_PACK")
    name = found[1]
    if name in {TRAINING_APPLICATION, MONITORING_APPLICATION}:
        return errors.Unavailable(f"{name} does not answer yet; try again in a few seconds", reason="SERVICE_MISSING")
    return errors.NotFound(
        f"there is no Pack {name!r}; check its name with `packline get packs`", reason="UNKNOWN_PACK", pack=name
    )


def _error(
    code: int, message: str, *, reason: str, field: str, retry_after: float, metadata: dict[str, str]
) -> PacklineError:
    known = reason or None
    if code == Code.RESOURCE_EXHAUSTED:
        if reason.endswith("_FULL"):
            return errors.StorageFull(message, reason=known, **metadata)
        return Overloaded(message, retry_after=retry_after, reason=known, **metadata)
    if code == Code.INVALID_ARGUMENT:
        return InvalidInput(message, reason=known, field=field, **metadata)
    return _BY_CODE.get(code, PacklineError)(message, reason=known, **metadata)


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _cut(text: str, longest: int) -> str:
    data = text.encode()
    if len(data) <= longest:
        return text
    return data[: longest - 3].decode(errors="ignore") + "…"
