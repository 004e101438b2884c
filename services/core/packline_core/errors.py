"""The one exception tree: every error says what was wrong, where, and what to do.

Each class stands for one status of `google.rpc.Code`; `reason` is the machine-readable part (UPPER_SNAKE_CASE) and
`metadata` names what it is about. `packline_core.rpc` alone turns them into gRPC statuses and back.
"""

import errno
from enum import IntEnum
from typing import ClassVar


class Code(IntEnum):
    """The values of `google.rpc.Code` in use."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15


class PacklineError(Exception):
    """Anything that Packline refuses or fails to do.

    Args:
        message: What was wrong, where, and what to do about it, in one or two sentences.
        reason: Machine-readable, UPPER_SNAKE_CASE; the class's own where left out.
        metadata: What it is about, as short strings.
    """

    code: ClassVar[Code] = Code.INTERNAL
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = metadata


class InvalidInput(PacklineError):
    """The caller sent something that cannot be worked on; `field` names the part of the request."""

    code = Code.INVALID_ARGUMENT
    default_reason = "INVALID_INPUT"

    def __init__(self, message: str, *, reason: str | None = None, field: str = "", **metadata: str) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.field = field


class NotFound(PacklineError):
    """No such Pack, version, run, dataset or prediction."""

    code = Code.NOT_FOUND
    default_reason = "NOT_FOUND"


class AlreadyExists(PacklineError):
    """The name is taken by something else."""

    code = Code.ALREADY_EXISTS
    default_reason = "ALREADY_EXISTS"


class FailedPrecondition(PacklineError):
    """The state does not allow it; it may after the state has changed."""

    code = Code.FAILED_PRECONDITION
    default_reason = "FAILED_PRECONDITION"


class Conflict(PacklineError):
    """Somebody else changed it in between; read again and decide anew."""

    code = Code.ABORTED
    default_reason = "CONFLICT"


class Overloaded(PacklineError):
    """More work than the replica takes on; try again after `retry_after` seconds."""

    code = Code.RESOURCE_EXHAUSTED
    default_reason = "OVERLOADED"

    def __init__(self, message: str, *, retry_after: float, reason: str | None = None, **metadata: str) -> None:
        super().__init__(message, reason=reason, **metadata)
        self.retry_after = retry_after


class StorageFull(PacklineError):
    """The disk or store took no more; nothing was half written."""

    code = Code.RESOURCE_EXHAUSTED
    default_reason = "STORAGE_FULL"


class DeadlineExceeded(PacklineError):
    """The caller's deadline had passed before an answer was ready."""

    code = Code.DEADLINE_EXCEEDED
    default_reason = "DEADLINE_EXCEEDED"


class Unimplemented(PacklineError):
    """The application that was called has no such method."""

    code = Code.UNIMPLEMENTED
    default_reason = "UNIMPLEMENTED"


class Unavailable(PacklineError):
    """A peer or a model is not there now; try again."""

    code = Code.UNAVAILABLE
    default_reason = "UNAVAILABLE"


class Cancelled(PacklineError):
    """The work was called off."""

    code = Code.CANCELLED
    default_reason = "CANCELLED"


class BundleRejected(PacklineError):
    """A bundle is corrupt, truncated, of another signature, or fails on its reference inputs."""

    code = Code.FAILED_PRECONDITION
    default_reason = "BUNDLE_REJECTED"


def is_disk_full(error: OSError) -> bool:
    """Whether it says that a disk, a quota or a limit on files leaves no room."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
