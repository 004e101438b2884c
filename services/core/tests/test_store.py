"""The object store: named by content, whole or not at all."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packline_core.bundle import bytes_digest
from packline_core.errors import NotFound, StorageFull
from packline_core.store import ObjectStore, object_name

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


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    url = f"file://{tmp_path / 'store'}" if request.param == "file" else f"memory://{tmp_path.name}"
    return ObjectStore(url)


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


def test_a_uri_opens_with_fsspec(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path / "s"))
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
