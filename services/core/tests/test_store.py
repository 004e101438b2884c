"""The object store: named by content, whole or not at all."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from packline_core.bundle import bytes_digest
from packline_core.errors import NotFound, StorageFull, Unavailable
from packline_core.store import ObjectStore, object_name

from tests.backends.objects import ObjectServer

FILL = """
import sys
from pathlib import Path
from packline_core.errors import StorageFull
from packline_core.store import ObjectStore
place = Path(sys.argv[1])
store = ObjectStore(str(place / "store"))
kept = store.put_bytes("payloads", b"small")
big = Path(sys.argv[2]); big.mkdir()
(big / "manifest.json").write_text("{}")
(big / "weights").write_bytes(b"x" * (2 << 20))
for attempt in (lambda: store.put_bytes("payloads", b"x" * (2 << 20)),
                lambda: store.put_file("payloads", big / "weights"),
                lambda: store.put_folder("bundles", big, "sha256:ab")):
    try:
        attempt()
    except StorageFull as error:
        print(error.reason)
assert store.get(kept) == b"small"
print(sorted(p.name for p in place.rglob("*") if p.is_file()) == [Path(kept).name])
"""


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param != "s3":
        yield ObjectStore(f"file://{tmp_path / 'store'}" if request.param == "file" else f"memory://{tmp_path.name}")
        return
    server: ObjectServer = request.getfixturevalue("object_server")
    with server.bucket() as (url, _):
        yield ObjectStore(f"{url}/prefix")


@pytest.fixture
def bucket(object_server: ObjectServer) -> Iterator[tuple[ObjectStore, Path]]:
    """A store on S3, and the folder where its objects lie as files."""
    with object_server.bucket() as (url, folder):
        yield ObjectStore(f"{url}/prefix"), folder


def test_bytes_are_named_by_their_content(store: ObjectStore) -> None:
    name = store.put_bytes("payloads", b"page")
    assert name == object_name("payloads", bytes_digest(b"page")) == store.put_bytes("payloads", b"page")
    assert store.get(name) == b"page"
    assert list(store.names("payloads")) == [name]
    store.delete(name)
    assert not store.exists(name)
    store.delete(name)
    with pytest.raises(NotFound, match=name):
        store.get(name)


def test_a_file_and_its_bytes_have_one_name(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"page")
    assert store.put_file("payloads", path) == store.put_bytes("payloads", b"page")


def test_a_folder_goes_in_and_comes_out(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    (folder / "sub").mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (folder / "sub" / "model.onnx").write_bytes(b"weights")
    name = store.put_folder("bundles", folder, "sha256:abcd")
    assert name == store.put_folder("bundles", folder, "sha256:abcd") == "bundles/ab/abcd"
    store.get_folder(name, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "model.onnx").read_bytes() == b"weights"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "store") == ["bundle", "out"]
    store.delete(name)
    with pytest.raises(NotFound):
        store.get_folder(name, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_names_do_not_lead_outside(store: ObjectStore) -> None:
    for name in ("../secret", "/etc/passwd", "a/../../b"):
        with pytest.raises(NotFound):
            store.get(name)


def test_a_uri_is_the_url_of_a_store(store: ObjectStore) -> None:
    name = store.put_bytes("a", b"1")
    assert ObjectStore(store.uri("a")).get(name.removeprefix("a/")) == b"1"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    (folder / "hole").symlink_to("/proc/self/mem")  # a file that cannot be read
    store = ObjectStore(str(tmp_path / "s"))
    with pytest.raises(OSError):
        store.put_folder("bundles", folder, "sha256:abcd")
    assert not store.exists("bundles/ab/abcd")
    assert [path for path in (tmp_path / "s").rglob("*") if path.is_file()] == []


def test_what_is_half_removed_does_not_count_as_there(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ("a.onnx", "manifest.json", "z.onnx"):
        (folder / name).write_text(name)
    name = store.put_folder("bundles", folder, "sha256:abcd")
    remove, removed = store._fs.rm_file, list[str]()

    def die_after_one(path: str) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(path)
        remove(path)

    def die(path: Path, **how: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store._fs, "rm_file", die_after_one)
        patch.setattr(shutil, "rmtree", die)
        store.delete(name)
    assert not store.exists(f"{name}/manifest.json")
    store.put_folder("bundles", folder, "sha256:abcd")
    store.get_folder(name, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.onnx", "manifest.json", "z.onnx"]


def test_what_another_process_removed_from_s3_is_written_again(bucket: tuple[ObjectStore, Path]) -> None:
    store, folder = bucket
    name = store.put_bytes("area", b"kept")
    assert list(store.names("area")) == [name] and store.exists(name)
    (folder / "prefix" / name).unlink()
    assert not store.exists(name) and list(store.names("area")) == []
    store.put_bytes("area", b"kept")
    assert (folder / "prefix" / name).read_bytes() == b"kept"


@pytest.mark.slow
def test_a_large_object_goes_to_s3_in_parts_and_nothing_is_seen_of_a_killed_writers(
    bucket: tuple[ObjectStore, Path], tmp_path: Path
) -> None:
    store, folder = bucket
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(110 << 20)
    code = f"from pathlib import Path; from packline_core.store import ObjectStore; ObjectStore({store.uri('')!r})"
    writer = subprocess.Popen([sys.executable, "-c", f"{code}.put_file('area', Path({str(large)!r}))"])
    while not list((folder / ".sgwtmp").rglob("multipart/*/*")):
        assert writer.poll() is None
    writer.kill()
    writer.wait()
    assert list(store.names("area")) == []
    now = datetime.now(UTC)
    assert store.remove_unfinished("area", now - timedelta(hours=1)) == 0
    assert store.remove_unfinished("area", now + timedelta(hours=1)) == 1
    assert not list((folder / ".sgwtmp").rglob("multipart/*/*"))
    name = store.put_file("area", large)
    with store.open(name) as stream:
        assert sum(len(chunk) for chunk in iter(partial(stream.read, 8 << 20), b"")) == large.stat().st_size


def test_s3_that_is_away_or_has_no_such_bucket_is_said(object_server: ObjectServer) -> None:
    with pytest.raises(Unavailable, match="bucket does not exist") as caught:
        ObjectStore("s3://nowhere/prefix").put_bytes("area", b"1")
    assert caught.value.reason == "STORE_UNREACHABLE"
    with object_server.bucket() as (url, _):
        store = ObjectStore(url)
        name = store.put_bytes("area", b"kept")
        object_server.stop()
        try:
            attempts = (
                partial(store.put_bytes, "area", b"late"),
                partial(store.get, name),
                partial(store.exists, name),
            )
            with ThreadPoolExecutor() as pool:
                failures = [job.exception() for job in [pool.submit(attempt) for attempt in attempts]]
        finally:
            object_server.start()
        assert [(type(f), getattr(f, "reason", f)) for f in failures] == [(Unavailable, "STORE_UNREACHABLE")] * 3
        assert store.get(name) == b"kept" and list(store.names("area")) == [name]


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    store = ObjectStore(f"file://{tmp_path}")
    kept = store.put_bytes("area", b"whole")
    (tmp_path / "area" / "ab").mkdir()
    (tmp_path / "area" / "ab" / ".writing-1").write_bytes(b"half")
    (tmp_path / "area" / ".writing-2").mkdir()
    now = datetime.now(UTC)
    assert store.remove_unfinished("area", now - timedelta(hours=1)) == 0
    assert store.remove_unfinished("area", now + timedelta(hours=1)) == 2
    assert [path.name for path in (tmp_path / "area").rglob("*") if path.is_file()] == [kept.rpartition("/")[2]]
    assert store.remove_unfinished("nowhere", now) == 0


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = f"mount -t tmpfs -o size=1m none {place} && exec {sys.executable} -c '{FILL}' {place} {tmp_path / 'big'}"
    done = subprocess.run(
        ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"]), "sh", "-c", mount],
        check=False,
        capture_output=True,
        text=True,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert done.stdout.split() == [*[StorageFull.default_reason] * 3, "True"], done.stderr
