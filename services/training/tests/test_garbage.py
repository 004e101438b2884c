"""What killed processes leave in the store does not stay."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from packline_core.store import ObjectStore
from packline_slope.testing import Clock
from packline_training.garbage import sweeper

from tests.backends.fixtures import EMBEDDED, OUTGROWN, Backend


@pytest.mark.parametrize("backend", [EMBEDDED], indirect=True)
def test_what_was_left_half_written_goes_after_a_day(backend: Backend, store: ObjectStore, clock: Clock) -> None:
    sweep = sweeper(store, clock)
    kept = store.put_bytes("bundles", b"whole")
    half = backend.objects / "bundles" / "ab" / ".writing-1"
    half.mkdir(parents=True)

    def left(age: timedelta) -> bool:
        os.utime(half, (0, (clock.now - age).timestamp()))
        sweep()
        return half.exists()

    assert left(timedelta(hours=23))
    assert left(timedelta(days=2)), "it has just looked"
    clock.now += timedelta(hours=1)
    assert not left(timedelta(days=2))
    assert store.get(kept) == b"whole"


@pytest.mark.backends
@pytest.mark.parametrize("backend", [OUTGROWN], indirect=True)
def test_s3_is_swept_too(backend: Backend, store: ObjectStore, clock: Clock, tmp_path: Path) -> None:
    bucket = backend.store.removeprefix("s3://").partition("/")[0]
    files = store._fs
    files.call_s3("create_multipart_upload", Bucket=bucket, Key="installation/bundles/ab/half")
    sweep = sweeper(store, clock)
    sweep()
    assert len(files.list_multipart_uploads(bucket)) == 1
    clock.now += timedelta(days=3650)
    sweep()
    assert files.list_multipart_uploads(bucket) == []
