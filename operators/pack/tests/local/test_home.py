"""A home's lock, clock and files."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packline_core.errors import FailedPrecondition
from packline_core.packs import PackFiles
from packline_operator.clock import Clock
from packline_operator.local.files import FileSource
from packline_operator.local.lock import only_one

from ..world import manifest


def test_only_one_holds_a_home(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom packline_operator.local.lock import only_one\n"
        f"with only_one(pathlib.Path({str(tmp_path)!r})):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(FailedPrecondition, match=rf"process {other.pid}\); stop it with"), only_one(tmp_path):
            pass
        other.kill()
    with only_one(tmp_path):
        pass


def test_the_clock_follows_its_offset_file(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    clock = Clock(offset)
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=1)
    offset.write_text("86400")
    assert abs(clock() - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    offset.write_text("torn-")
    assert abs(clock() - datetime.now(UTC)) < timedelta(minutes=1)


def test_files_declare_packs_readable_or_not(tmp_path: Path) -> None:
    files = PackFiles(tmp_path)
    source = FileSource(files)
    files.apply(manifest())
    assert [(d.name, d.generation, d.deleting) for d in source.declared()] == [("p", 1, False)]
    path = tmp_path / "p" / "pack.yaml"
    path.write_text(path.read_text().replace("minRequests", "minRequest"))
    files.delete("p")
    (declared,) = source.declared()
    assert declared.manifest is None
    assert "minRequest: unknown field" in declared.unreadable
    assert declared.deleting


def test_events_of_one_key_are_told_once(tmp_path: Path) -> None:
    source = FileSource(PackFiles(tmp_path))
    PackFiles(tmp_path).apply(manifest())
    source.add_events("p", [{"key": "a", "n": 1}])
    source.add_events("p", [{"key": "a", "n": 2}, {"key": "b", "n": 3}])
    assert [event["n"] for event in PackFiles(tmp_path).read_events("p")] == [1, 3]
