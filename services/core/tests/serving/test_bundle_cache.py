"""The cache on a real disk: sound copies only, whatever the store holds and however many ask."""

import multiprocessing
import os
import resource
import shutil
from pathlib import Path

import pytest
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, StorageFull, Unavailable
from packline_core.serving.bundle_cache import BundleCache
from packline_core.store import ObjectStore
from packline_echo.bundles import write_bundle

from tests.backends.objects import ObjectServer


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "store", offset=2.0)


def uri(bundle: Bundle) -> str:
    return f"file://{bundle.folder}"


def test_a_copy_outlives_the_store(tmp_path: Path, bundle: Bundle) -> None:
    cache = BundleCache(tmp_path / "cache")
    fetched = cache.fetch(uri(bundle), bundle.digest)
    assert fetched.digest == bundle.digest
    shutil.rmtree(bundle.folder)
    assert cache.fetch(uri(bundle), bundle.digest).path("model.onnx").is_file()


def test_a_bundle_comes_from_s3_and_an_s3_that_is_away_is_said(
    tmp_path: Path, bundle: Bundle, object_server: ObjectServer
) -> None:
    with object_server.bucket() as (url, folder):
        store = ObjectStore(f"{url}/prefix")
        name = store.put_folder("bundles", bundle.folder, bundle.digest)
        fetched = BundleCache(tmp_path / "cache").fetch(store.uri(name), bundle.digest)
        assert fetched.path("model.onnx").read_bytes() == bundle.path("model.onnx").read_bytes()
        object_server.stop()
        try:
            with pytest.raises(Unavailable) as caught:
                BundleCache(tmp_path / "away").fetch(store.uri(name), bundle.digest)
        finally:
            object_server.start()
        assert caught.value.reason == "STORE_UNREACHABLE"
        (folder / "prefix" / name / "model.onnx").unlink()
        with pytest.raises(BundleRejected) as refused:
            BundleCache(tmp_path / "damaged").fetch(store.uri(name), bundle.digest)
        assert refused.value.reason == "FILE_MISSING"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"x" * 200), "FILE_"),
        (lambda folder: os.truncate(folder / "model.onnx", 50), "FILE_TRUNCATED"),
        (lambda folder: (folder / "model.onnx").unlink(), "FILE_MISSING"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "DIGEST_MISMATCH"),
        (shutil.rmtree, "FILE_MISSING"),
    ],
)
def test_a_damaged_store_leaves_nothing_behind(tmp_path: Path, bundle: Bundle, damage: object, reason: str) -> None:
    cache = BundleCache(tmp_path / "cache")
    damage(bundle.folder)  # type: ignore[operator]
    with pytest.raises(BundleRejected) as refused:
        cache.fetch(uri(bundle), bundle.digest)
    assert refused.value.reason.startswith(reason)
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")] == []
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []


def test_a_damaged_copy_is_made_anew(tmp_path: Path, bundle: Bundle) -> None:
    cache = BundleCache(tmp_path / "cache")
    cache.fetch(uri(bundle), bundle.digest)
    (cache.path(bundle.digest) / "model.onnx").write_bytes(b"rot")
    assert cache.fetch(uri(bundle), bundle.digest).path("model.onnx").stat().st_size > 50


def fetch_with_little_room(cache: str, source: str, digest: str, outcome: "multiprocessing.Queue[str]") -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
    try:
        BundleCache(Path(cache)).fetch(source, digest)
    except StorageFull as error:
        outcome.put(error.message)
    except BaseException as error:
        outcome.put(f"{type(error).__name__}: {error}")
    else:
        outcome.put("it fitted")


def test_a_full_disk_is_said_so_and_nothing_is_half_there(tmp_path: Path, bundle: Bundle) -> None:
    context = multiprocessing.get_context("spawn")
    outcome: multiprocessing.Queue[str] = context.Queue()
    process = context.Process(
        target=fetch_with_little_room, args=(str(tmp_path / "cache"), uri(bundle), bundle.digest, outcome)
    )
    process.start()
    message = outcome.get(timeout=60)
    process.join()
    assert "no room" in message and bundle.digest in message
    assert list((tmp_path / "cache" / "bundles").iterdir()) == []
    assert BundleCache(tmp_path / "cache").fetch(uri(bundle), bundle.digest).digest == bundle.digest


def fetch_many(cache: str, source: str, digest: str) -> str:
    return BundleCache(Path(cache)).fetch(source, digest).digest


def test_many_processes_make_one_sound_copy(tmp_path: Path, bundle: Bundle) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        digests = pool.starmap(fetch_many, [(str(tmp_path / "cache"), uri(bundle), bundle.digest)] * 12)
    assert digests == [bundle.digest] * 12
    assert len(list((tmp_path / "cache" / "bundles").iterdir())) == 1


def test_old_bundles_go_and_used_ones_stay(tmp_path: Path) -> None:
    now = [1_000_000.0]
    cache = BundleCache(tmp_path / "cache", lambda: now[0])
    bundles = [write_bundle(tmp_path / f"store{n}", offset=float(n)) for n in range(11)]
    for bundle in bundles:
        now[0] += 1
        cache.fetch(uri(bundle), bundle.digest)
    assert cache.prune(frozenset()) == []
    now[0] += 100_000
    cache.touch(bundles[1].digest)
    removed = cache.prune(frozenset({bundles[0].digest}))
    assert bundles[0].digest[7:] not in removed and bundles[1].digest[7:] not in removed
    assert sorted(removed) == sorted(bundle.digest[7:] for bundle in bundles[2:4])


def test_a_digest_that_is_none_names_no_path(tmp_path: Path) -> None:
    with pytest.raises(BundleRejected):
        BundleCache(tmp_path).fetch("file:///x", "sha256:../../etc")
