"""A declared source: taken in from a folder or S3, again and again, and never against a correction."""

import json
from pathlib import Path

import pytest
from packline_core.errors import FailedPrecondition
from packline_core.filesystem import open_filesystem
from packline_core.manifest import Pack
from packline_core.store import ObjectStore
from packline_core.task import Example
from packline_slope.testing import manifest
from packline_training.datasets import Corrections
from packline_training.engine import Tables
from packline_training.imports import import_examples
from packline_training.sources import take_in_source
from packline_training.worker import Apart

from tests.backends.fixtures import OUTGROWN, Backend

pytestmark = pytest.mark.backends


class Source:
    """Files beside the store, and the Pack that names them as its source."""

    def __init__(self, backend: Backend, tables: Tables, store: str, work: Path, apart: Apart) -> None:
        self.url = backend.store.removeprefix("file://").rpartition("/")[0] + "/labels"
        self._files, self._root = open_filesystem(self.url)
        self.pack: Pack = manifest(data={"source": self.url})
        self._tables, self._store, self._apart = tables, store, apart
        self._work = work
        work.mkdir()

    def write(self, name: str, text: str) -> None:
        self._files.makedirs(f"{self._root}/{name}".rpartition("/")[0], exist_ok=True)
        self._files.pipe_file(f"{self._root}/{name}", text.encode())

    def take_in(self, source: str = "") -> list[str]:
        pack = manifest(data={"source": source}) if source else self.pack
        told = take_in_source(self._tables.datasets, pack, self._store, self._work, self._apart)
        assert not list(self._work.iterdir())
        return told

    def labels(self) -> dict[float, float]:
        """What the newest version says: y by x."""
        datasets = self._tables.datasets
        newest = datasets.newest("line")
        assert newest is not None
        golden = datasets.golden("line", newest.number, 0)
        held = [e for part in (datasets.training("line", newest.number), golden.old, golden.new) for e in part]
        return {json.loads(e.payload)["x"]: json.loads(e.truth)["y"] for e in held}


@pytest.fixture
def source(backend: Backend, tables: Tables, tmp_path: Path, apart: Apart, pack: str) -> Source:
    return Source(backend, tables, backend.store, tmp_path / "work", apart)


def test_a_source_is_taken_in_once_and_told(source: Source) -> None:
    source.write("a/b/one.tsv", "1.0\t2.0\n2.0\t4.0\n")
    source.write("two.tsv", "3.0\t6.0\nnonsense\n")
    told = source.take_in()
    assert told[0] == f"{source.url} gave 3 new and 0 changed examples"
    assert told[1].startswith("1 of its rows were left out: two.tsv line 2: ")
    assert source.labels() == {1.0: 2.0, 2.0: 4.0, 3.0: 6.0}
    assert [told.split()[0] for told in source.take_in()] == ["1"], "the bad row is told again, nothing else"
    source.write("two.tsv", "3.0\t7.0\n4.0\t8.0\n")
    assert source.take_in() == [f"{source.url} gave 1 new and 1 changed examples"]
    assert source.labels() == {1.0: 2.0, 2.0: 4.0, 3.0: 7.0, 4.0: 8.0}


def test_a_correction_holds_whatever_the_source_goes_on_saying(source: Source, tables: Tables) -> None:
    source.write("one.tsv", "1.0\t2.0\n2.0\t4.0\n")
    source.take_in()
    (example, *_) = [*tables.datasets.training("line", 1), *tables.datasets.golden("line", 1, 0).new]
    x = json.loads(example.payload)["x"]
    corrected = Example(example.key, example.payload, json.dumps({"y": 9.0}), example.group, "correction c1")
    import_examples(tables.datasets, source.pack, [corrected], tables.store, Corrections("line", 1, 1))
    assert source.labels()[x] == 9.0
    source.write("new.tsv", "5.0\t1.0\n")
    assert source.take_in() == [f"{source.url} gave 1 new and 0 changed examples"]
    assert source.labels() == {1.0: 2.0, 2.0: 4.0, 5.0: 1.0, x: 9.0}


def test_a_source_that_is_not_there_or_holds_nothing_is_said(
    source: Source, tables: Tables, store: ObjectStore
) -> None:
    with pytest.raises(FailedPrecondition, match=r"spec\.data\.source .*does not exist") as caught:
        source.take_in(f"{source.url}/nowhere")
    assert caught.value.reason == "SOURCE_UNUSABLE"
    with pytest.raises(FailedPrecondition, match="absolute path or a URL"):
        source.take_in("labels")
    source.write("one.tsv", "nonsense\n")
    with pytest.raises(FailedPrecondition, match="none of its 1 rows is an example, nothing was taken in"):
        source.take_in()
    assert tables.datasets.newest("line") is None and list(store.names("examples")) == []


@pytest.mark.parametrize("backend", [OUTGROWN], indirect=True)
def test_one_object_is_a_source_and_a_bucket_that_does_not_exist_is_none(source: Source) -> None:
    source.write("one.tsv", "1.0\t2.0\n")
    assert source.take_in(f"{source.url}/one.tsv") == [f"{source.url}/one.tsv gave 1 new and 0 changed examples"]
    with pytest.raises(FailedPrecondition, match="holds no files, or does not exist"):
        source.take_in("s3://no-such-bucket/labels")
