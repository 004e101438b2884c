import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from packline_core.errors import FailedPrecondition, InvalidInput, NotFound, StorageFull
from packline_core.manifest import Pack, parse_pack
from packline_core.packs import PackFiles
from packline_core.task import task_names

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def manifest(name: str = "invoices", **spec: object) -> Pack:
    metadata = {"name": name, "labels": {"team": "accounts"}}
    return parse_pack(
        {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": metadata, "spec": {"task": "echo", **spec}}
    )


@pytest.fixture
def packs(tmp_path: Path) -> PackFiles:
    return PackFiles(tmp_path / "packs", clock=lambda: NOW)


def test_apply_counts_generations(packs: PackFiles) -> None:
    created = packs.apply(manifest())
    again = packs.apply(manifest())
    changed = packs.apply(manifest(paused=True))

    assert [created.change, again.change, changed.change] == ["created", "unchanged", "changed"]
    assert [created.stored.generation, again.stored.generation, changed.stored.generation] == [1, 1, 2]
    assert created.stored.uid == changed.stored.uid
    assert changed.stored.created_at == NOW
    assert packs.get("invoices").pack == manifest(paused=True)
    assert [stored.pack.name for stored in packs.list()] == ["invoices"]


def test_an_exported_manifest_applies_as_unchanged(packs: PackFiles, tmp_path: Path) -> None:
    packs.apply(manifest())
    text = (tmp_path / "packs/invoices/pack.yaml").read_text()

    assert packs.apply(parse_pack(yaml.safe_load(text))).change == "unchanged"


def test_task_cannot_change(packs: PackFiles, tmp_path: Path) -> None:
    packs.apply(manifest())
    path = tmp_path / "packs/invoices/pack.yaml"
    path.write_text(path.read_text().replace("task: echo", "task: other"))

    with pytest.raises(InvalidInput, match=r"spec\.task.*other.*echo") as caught:
        packs.apply(manifest())
    assert caught.value.field == "spec.task"


def test_delete_marks_then_remove_removes(packs: PackFiles, tmp_path: Path) -> None:
    first = packs.apply(manifest()).stored
    assert packs.delete("invoices")
    assert not packs.delete("invoices")
    assert packs.get("invoices").deleting
    with pytest.raises(FailedPrecondition, match="being deleted"):
        packs.apply(manifest())

    packs.remove("invoices")
    packs.remove("invoices")
    with pytest.raises(NotFound):
        packs.get("invoices")
    with pytest.raises(NotFound):
        packs.delete("invoices")
    assert sorted(path.name for path in (tmp_path / "packs").iterdir()) == [".lock"]
    assert packs.apply(manifest()).stored.uid != first.uid


def test_unreadable_manifests_hide_no_other(packs: PackFiles, tmp_path: Path) -> None:
    for name in ("bad-yaml", "bad-field", "bad-task", "good"):
        packs.apply(manifest(name))
    for name, old, new in (
        ("bad-yaml", "spec:", "{"),
        ("bad-field", "spec:", "spec:\n  nonsense: 1"),
        ("bad-task", "task: echo", "task: gone"),
    ):
        path = tmp_path / "packs" / name / "pack.yaml"
        path.write_text(path.read_text().replace(old, new))
    packs.delete("bad-task")

    scan = packs.scan()
    assert list(scan.packs) == ["good"]
    assert set(scan.unreadable) == {"bad-yaml", "bad-field", "bad-task"}
    assert "nonsense" in scan.unreadable["bad-field"].message
    assert scan.unreadable["bad-task"].reason == "UNKNOWN_TASK"
    assert scan.deleting == {"bad-task"}


@pytest.mark.parametrize("name", ["..", "a/b", "", "UPPER", ".removed-x"])
def test_names_cannot_leave_the_folder(packs: PackFiles, name: str) -> None:
    with pytest.raises(InvalidInput, match="no name"):
        packs.remove(name)


def test_status_is_written_on_change_only(packs: PackFiles, tmp_path: Path) -> None:
    assert not packs.write_status("invoices", {"phase": "Idle"})
    packs.apply(manifest())
    assert packs.read_status("invoices") is None
    assert packs.write_status("invoices", {"phase": "Idle"})
    before = (tmp_path / "packs/invoices/status.json").stat().st_mtime_ns
    assert not packs.write_status("invoices", {"phase": "Idle"})
    assert (tmp_path / "packs/invoices/status.json").stat().st_mtime_ns == before
    assert packs.read_status("invoices") == {"phase": "Idle"}


def test_events_are_bounded_and_survive_a_torn_line(tmp_path: Path) -> None:
    packs = PackFiles(tmp_path, max_events=3)
    packs.append_events("invoices", [{"n": -1}])
    packs.apply(manifest())
    assert packs.read_events("invoices") == ()
    for n in range(20):
        packs.append_events("invoices", [{"n": n}])
    assert [event["n"] for event in packs.read_events("invoices")] == [17, 18, 19]
    assert len((tmp_path / "invoices/events.jsonl").read_text().splitlines()) <= 7

    with (tmp_path / "invoices/events.jsonl").open("a") as stream:
        stream.write('{"n": 2')
    packs.append_events("invoices", [{"n": 20}])
    assert [event["n"] for event in packs.read_events("invoices")] == [18, 19, 20]


def test_fingerprint_follows_applies_and_deletions_alone(packs: PackFiles) -> None:
    seen = [packs.fingerprint()]
    packs.apply(manifest())
    seen.append(packs.fingerprint())
    packs.write_status("invoices", {"phase": "Idle"})
    packs.append_events("invoices", [{"n": 1}])
    assert packs.fingerprint() == seen[-1]
    packs.apply(manifest(paused=True))
    seen.append(packs.fingerprint())
    packs.delete("invoices")
    seen.append(packs.fingerprint())
    packs.remove("invoices")
    assert packs.fingerprint() == seen[0]
    assert len(set(seen)) == len(seen)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, the device that is always full")
def test_a_full_disk_is_said_and_changes_nothing(packs: PackFiles, tmp_path: Path) -> None:
    packs.apply(manifest())
    folder = tmp_path / "packs/invoices"
    (folder / ".pack.yaml.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="is full"):
        packs.apply(manifest(paused=True))
    assert packs.get("invoices").pack == manifest()
    (folder / ".status.json.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        packs.write_status("invoices", {"phase": "Idle"})
    assert packs.apply(manifest(paused=True)).change == "changed"


def _apply_many(folder: str, start: int) -> list[int]:
    packs = PackFiles(Path(folder))
    return [packs.apply(manifest(serving={"replicas": {"max": start + n}})).stored.generation for n in range(25)]


def test_two_processes_never_share_a_generation(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        first, second = pool.map(_apply_many, [str(tmp_path)] * 2, [100, 200])
    assert PackFiles(tmp_path).get("invoices").generation == 50
    assert sorted({*first, *second})[-1] == 50


def test_what_was_applied_survives_kill_9(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from packline_core.manifest import parse_pack
        from packline_core.packs import PackFiles
        packs = PackFiles(Path({str(tmp_path)!r}))
        for n in range(1, 1000000):
            packs.apply(parse_pack({{"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {{"name": "p"}},
                                     "spec": {{"task": "echo", "serving": {{"replicas": {{"max": 1 + n % 999}}}}}}}}))
            print(n, flush=True)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = 0
    for line in process.stdout:
        answered = int(line)
        if answered == 20:
            os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    stored = PackFiles(tmp_path).get("p")
    assert stored.generation in {answered, answered + 1}
    assert stored.pack.spec.serving.replicas.max == 1 + stored.generation % 999
    assert "echo" in task_names()
