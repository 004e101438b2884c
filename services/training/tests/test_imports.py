"""Imports of good, bad and contradicting data, dataset versions, and what erasing leaves."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from packline_core.bundle import bytes_digest
from packline_core.errors import InvalidInput
from packline_core.filesystem import open_filesystem
from packline_core.store import ObjectStore
from packline_core.task import Example, state_of
from packline_slope.testing import manifest
from packline_training.engine import Tables, TrainingEngine
from packline_training.imports import Imported, import_state
from packline_training.reading import found_in, new_catalogue, read_examples
from packline_training.registry import NewVersion
from packline_training.splitting import is_golden
from packline_training.worker import Apart

pytestmark = pytest.mark.backends


def key(x: float) -> str:
    return bytes_digest(json.dumps({"x": x}).encode())


def labelled(name: str, truth: str = "{}", payload: bytes = b"") -> Example:
    return Example(name, payload, truth, name, "")


def rows(count: int, slope: float = 3.0, start: int = 0) -> str:
    return "".join(f"{float(x)}\t{slope * x + 1}\n" for x in range(start, start + count))


def put(training: TrainingEngine, tmp_path: Path, **files: str) -> Imported:
    with training.upload_folder() as folder:
        for name, text in files.items():
            (folder / f"{name}.tsv").write_text(text)
        return training.import_dataset("line", folder)


def test_an_import_splits_by_key_and_counts(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    done = put(training, tmp_path, a=rows(200))
    assert (done.added, done.replaced, done.unchanged, done.bad_row_count) == (200, 0, 0, 0)
    assert done.version.training_examples + done.version.golden_examples == 200
    assert 20 <= done.version.golden_examples <= 60
    trained = {example.key for example in tables.datasets.training("line", 1)}
    golden = tables.datasets.golden("line", 1, judged=0)
    kept = {example.key for example in golden.new}
    assert not len(golden.old) and not trained & kept and len(trained | kept) == 200
    assert kept == {key(float(x)) for x in range(200) if is_golden(labelled(key(float(x))), 0.2)}
    example = next(iter(golden.new))
    assert json.loads(example.truth)["y"] == 3 * json.loads(example.payload)["x"] + 1
    assert example.source.startswith("a.tsv line ")


def test_context_is_trained_on_whatever_its_key_and_told_apart_by_its_payload(
    store: ObjectStore, tmp_path: Path
) -> None:
    def read(name: str, known: list[tuple[str, str, bool]], payload: bytes) -> dict[str, tuple[str, bool]]:
        (tmp_path / name).mkdir()
        catalogue = tmp_path / name / "catalogue.db"
        new_catalogue(catalogue, known)
        examples = [labelled(f"u{n}", "", payload) for n in range(20)] + [labelled(f"u{n}#", "t") for n in range(20)]
        read_examples(examples, catalogue, store, golden_share=1.0)
        return {key: (truth, golden) for key, truth, golden, _ in found_in(catalogue)}

    first = read("first", [], b"one")
    assert {key for key, (_, golden) in first.items() if golden} == {f"u{n}#" for n in range(20)}
    known = [(key, truth, golden) for key, (truth, golden) in first.items()]
    assert read("same", known, b"one") == {}
    changed = read("changed", known, b"two")
    assert set(changed) == {f"u{n}" for n in range(20)} and not any(golden for _, golden in changed.values())


def test_what_a_pack_was_told_is_taken_in(
    training: TrainingEngine, tables: Tables, apart: Apart, pack: str, tmp_path: Path
) -> None:
    put(training, tmp_path, a=rows(20))
    state = state_of("line", training.settings.core)
    files, told = open_filesystem(state.folder)
    manifest_ = tables.registry.manifest("line")

    def take_in() -> tuple[int, int]:
        done = import_state(tables.datasets, manifest_, state, training.settings.core.store, apart)
        return done.added, done.replaced

    assert take_in() == (0, 0)
    files.makedirs(told, exist_ok=True)
    files.pipe(f"{told}/told.tsv", rows(10, slope=5.0, start=15).encode())
    assert take_in() == (5, 5)
    assert take_in() == (0, 0)
    newest = tables.datasets.newest("line")
    assert newest is not None and newest.training_examples + newest.golden_examples == 25
    training.forget_pack("line")
    assert not files.exists(told)


def test_the_same_files_again_change_nothing(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    first = put(training, tmp_path, a=rows(20))
    again = put(training, tmp_path, a=rows(20))
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 20)
    assert again.version == first.version and len(tables.datasets.versions("line", 10)) == 1


def test_a_later_label_replaces_and_the_earlier_version_stays(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    first = put(training, tmp_path, a=rows(20))
    second = put(training, tmp_path, a=rows(10, slope=5.0), b=rows(5, start=50))
    # 0 times any slope is the same label.
    assert (second.added, second.replaced, second.unchanged) == (5, 9, 1)
    assert second.version.digest != first.version.digest
    assert (first.version.number, second.version.number) == (1, 2)

    def truths(number: int) -> dict[str, str]:
        golden = tables.datasets.golden("line", number, 0)
        return {e.key: e.truth for part in (tables.datasets.training("line", number), golden.new) for e in part}

    assert len(truths(1)) == 20 and len(truths(2)) == 25
    assert json.loads(truths(1)[key(2.0)]) == {"y": 7.0} and json.loads(truths(2)[key(2.0)]) == {"y": 11.0}
    back = put(training, tmp_path, a=rows(10))
    assert back.version.digest != first.version.digest and back.replaced == 9


def test_golden_examples_that_came_later_are_new(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    put(training, tmp_path, a=rows(100))
    put(training, tmp_path, b=rows(100, start=100))
    golden = tables.datasets.golden("line", 2, judged=1)
    assert {json.loads(e.payload)["x"] < 100 for e in golden.old} == {True}
    assert {json.loads(e.payload)["x"] >= 100 for e in golden.new} == {True}


def test_a_key_keeps_its_part_when_the_share_changes(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    put(training, tmp_path, a=rows(60))
    before = {e.key for e in tables.datasets.training("line", 1)}
    tables.registry.update_manifest(manifest(data={"goldenShare": "90%"}))
    put(training, tmp_path, a=rows(60, slope=4.0))
    assert {e.key for e in tables.datasets.training("line", 2)} == before


def test_one_example_and_duplicates_alone(training: TrainingEngine, pack: str, tmp_path: Path) -> None:
    done = put(training, tmp_path, a="1.0\t2.0\n" * 7)
    assert (done.added, done.unchanged, done.bad_row_count) == (1, 6, 0)


def test_contradictions_are_said_and_the_later_holds(
    training: TrainingEngine, tables: Tables, pack: str, tmp_path: Path
) -> None:
    done = put(training, tmp_path, a="1.0\t2.0\n", b="1.0\t2.5\n1.0\t2.5\n")
    assert (done.added, done.unchanged, done.bad_row_count) == (1, 1, 1)
    assert done.bad_rows[0].source == "a.tsv line 1"
    assert "contradicts b.tsv line 1" in done.bad_rows[0].reason
    golden = tables.datasets.golden("line", 1, 0)
    (example,) = [*tables.datasets.training("line", 1), *golden.new]
    assert json.loads(example.truth) == {"y": 2.5}
    # A label that comes back to the one that is kept already changes nothing.
    back = put(training, tmp_path, a="1.0\t9.0\n1.0\t2.5\n")
    assert (back.added, back.replaced, back.version.number) == (0, 0, 1)


def test_bad_rows_are_counted_and_the_first_hundred_named(training: TrainingEngine, pack: str, tmp_path: Path) -> None:
    done = put(training, tmp_path, a=rows(3) + "nonsense\n" * 150)
    assert (done.added, done.bad_row_count, len(done.bad_rows)) == (3, 150, 100)
    assert (done.bad_rows[0].source, done.bad_rows[0].line) == ("a.tsv", 4)


@pytest.mark.parametrize("text", ["", "broken\n"])
def test_nothing_useful_is_refused_and_nothing_stays(
    training: TrainingEngine, tables: Tables, store: ObjectStore, pack: str, tmp_path: Path, text: str
) -> None:
    with pytest.raises(InvalidInput, match="nothing was taken in"):
        put(training, tmp_path, a=text)
    assert tables.datasets.newest("line") is None
    assert list(store.names("examples")) == []
    assert list((training.settings.work / "uploads").iterdir()) == []


def shard_keys(store: ObjectStore) -> set[str]:
    found: set[str] = set()
    for name in store.names("examples"):
        with store.open(name) as stream:
            found |= set(pq.read_table(stream)["key"].to_pylist())
    return found


def test_erased_examples_leave_every_version_and_the_store(
    training: TrainingEngine, tables: Tables, store: ObjectStore, pack: str, tmp_path: Path
) -> None:
    put(training, tmp_path, a=rows(50))
    put(training, tmp_path, a=rows(50, slope=4.0))
    gone = [key(float(x)) for x in (3, 4, 5)]
    assert tables.datasets.erase("line", [*gone, "sha256:unknown"]) == 3
    assert not set(gone) & shard_keys(store) and len(shard_keys(store)) == 47
    for version in tables.datasets.versions("line", 10):
        golden = tables.datasets.golden("line", version.number, 0).new
        held = {e.key for part in (tables.datasets.training("line", version.number), golden) for e in part}
        assert len(held) == 47 == version.training_examples + version.golden_examples
    for example in tables.datasets.training("line", 2):
        assert json.loads(example.truth)["y"] == 4 * json.loads(example.payload)["x"] + 1


def test_a_forgotten_pack_takes_its_dataset_along(
    training: TrainingEngine, tables: Tables, store: ObjectStore, pack: str, tmp_path: Path
) -> None:
    put(training, tmp_path, a=rows(10))
    tables.registry.create(
        manifest("other", data={"dataset": "line"}), NewVersion("sha256:x", "bundles/xx/x", "flat", "flat")
    )
    training.forget_pack("line")
    assert tables.datasets.newest("line") is not None, "another Pack uses it"
    training.forget_pack("other")
    assert tables.datasets.newest("line") is None and list(store.names("examples")) == []
