"""fsspec's file systems as Packline opens them, and what they fail with, in words.

S3 is `packline-core[s3]`; where it is and how to get in comes from the environment (`AWS_ENDPOINT_URL`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, …), as for every other client of S3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import fsspec

from packline_core.errors import StorageFull, Unavailable, is_disk_full


def open_filesystem(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """The file system of a URL, and the path of the URL within it.

    Listings are not cached: other processes write to the same place, and an object that one of them has removed must
    not pass for one that need not be written again.
    """
    filesystem, path = fsspec.url_to_fs(url, use_listings_cache=False, **(options or {}))
    return filesystem, str(path)


def is_local(filesystem: Any) -> bool:
    """Whether it is a disk of this machine."""
    return "file" in filesystem.protocol


@contextmanager
def answering(filesystem: Any, url: str, *, writing: bool = False, files: bool = True) -> Iterator[None]:
    """Says in words that a store elsewhere failed; on a disk of this machine, errors stay what they are.

    Args:
        filesystem: From `open_filesystem`.
        url: For the message.
        writing: What is not found is then the place to write to, a bucket.
        files: Whether the block touches no file but the store's, so that every OSError is the store's.

    Raises:
        Unavailable: It cannot be reached, or refuses.
        FileNotFoundError: What was to be read is not there.
    """
    if is_local(filesystem):
        yield
        return
    errors: tuple[type[Exception], ...] = (OSError, *_library_errors(filesystem))
    try:
        yield
    except errors as error:
        if isinstance(error, OSError) and (not files or (isinstance(error, FileNotFoundError) and not writing)):
            raise
        raise Unavailable(
            f"the store {url} does not answer as it should: {error}", reason="STORE_UNREACHABLE"
        ) from error


def abort_uploads(filesystem: Any, path: str, before: datetime) -> int:
    """Aborts uploads in parts that nobody finished: they are no objects, but take room. Returns how many."""
    if "s3" not in filesystem.protocol:
        return 0
    bucket, _, prefix = path.partition("/")
    listed = filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/")
    old = [upload for upload in listed.get("Uploads", []) if upload["Initiated"] < before]
    for upload in old:
        filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(old)


def storage_error(error: OSError, where: str) -> Exception:
    """`StorageFull` where that is what an error means, else the error itself."""
    if is_disk_full(error):
        return StorageFull(f"{where} is full; nothing was half written. Free space and try again", where=where)
    return error


def _library_errors(filesystem: Any) -> tuple[type[Exception], ...]:
    """What s3fs lets through as its libraries raise it; they are imported by then."""
    if "s3" not in filesystem.protocol:
        return ()
    from aiohttp import ClientError
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    return (BotoCoreError, ClientError)
