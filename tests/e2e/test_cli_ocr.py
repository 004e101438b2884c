"""What a user does on one machine, with the example's Pack: up, apply, read, evaluate, look, correct, delete, down."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import EXAMPLE, PACK, Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HOLDOUT = EXAMPLE / "documents" / "holdout"
PAGES = sorted((HOLDOUT / "img").glob("*.jpg"))


def some(folder: Path, count: int, *more: str) -> Path:
    """The first pages of the holdout with their labels, and further rows."""
    (folder / "img").mkdir(parents=True)
    rows = (HOLDOUT / "labels.txt").read_text("utf8").splitlines()[:count]
    (folder / "labels.txt").write_text("".join(f"{row}\n" for row in [*rows, *more]), "utf8")
    for row in rows:
        image = row.split("\t")[0]
        (folder / image).write_bytes((HOLDOUT / image).read_bytes())
    return folder


def test_a_second_up_says_that_it_runs(platform: Platform) -> None:
    out = platform.must("up", "--detach")
    assert "runs already at 127.0.0.1:" in out


def test_text_of_one_page(applied: Platform) -> None:
    out = applied.must("ocr", "read", PAGES[0], "--pack", PACK)
    truth = next(row for row in (HOLDOUT / "labels.txt").read_text("utf8").splitlines() if PAGES[0].name in row)
    longest = max((line["transcription"] for line in json.loads(truth.split("\t")[1])), key=len)
    assert len(out.splitlines()) > 3
    assert set(longest.split()) & set(out.split())


def test_json_lines_name_the_path_as_given_and_one_bad_file_stops_nothing(applied: Platform, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    ran = applied("ocr", "read", PAGES[0], bad, PAGES[1], "--pack", PACK, "--format", "jsonl")
    assert ran.code == 1
    pages = [json.loads(line) for line in ran.out.splitlines()]
    assert [page["image"] for page in pages] == [str(PAGES[0]), str(PAGES[1])]
    assert all(page["page"] == 1 and page["lines"] for page in pages)
    line = pages[0]["lines"][0]
    assert set(line) == {"points", "text", "confidence"}
    assert len(line["points"]) == 4
    assert f"{bad}: " in ran.err
    assert "\x1b" not in ran.err + ran.out


def test_a_folder_is_read_whole(applied: Platform) -> None:
    out = applied.must("ocr", "read", HOLDOUT / "img", "--pack", PACK, "--format", "jsonl")
    assert [json.loads(line)["image"] for line in out.splitlines()] == [str(page) for page in PAGES]


def test_evaluate_prints_one_object(applied: Platform, tmp_path: Path) -> None:
    result = json.loads(applied.must("evaluate", PACK, "--data", HOLDOUT, "--json"))
    assert result["n"] == len(PAGES)
    assert result["failed"] == 0
    assert result["model_version"] == "v1"
    assert result["per_second"] > 0
    cer = next(metric for metric in result["metrics"] if metric["name"] == "cer")
    assert 0 <= cer["low"] <= cer["value"] <= cer["high"] < 0.2
    table = applied.must("evaluate", PACK, "--data", some(tmp_path / "few", 2))
    assert table.splitlines()[0].split() == ["METRIC", "VALUE", "LOW", "HIGH"]


def test_get_describe_and_top_tell_how_it_stands(applied: Platform) -> None:
    (view,) = json.loads(applied.must("get", "packs", "-o", "json"))
    assert (view["name"], view["ready"], view["active"], view["phase"]) == (PACK, "True", "v1", "Idle")
    told = applied.must("describe", "pack", PACK)
    assert "v1 is active and answers every call." in told
    assert "Next: " in told
    applied.must("ocr", "read", PAGES[0], "--pack", PACK)
    (row,) = [row for row in json.loads(applied.must("top", "-o", "json"))["packs"] if row["role"] == "active"]
    assert (row["pack"], row["version"], row["traffic"], row["ready"]) == (PACK, "v1", 100, 1)
    assert PACK in applied.must("top", "--once")


def test_corrections_are_taken_in_once(applied: Platform, tmp_path: Path) -> None:
    few = some(tmp_path / "few", 3)
    assert applied.must("correct", PACK, "--data", few) == "3 corrections taken in, 0 known already, 0 failed\n"
    assert applied.must("correct", PACK, "--data", few) == "0 corrections taken in, 3 known already, 0 failed\n"


def test_import_reports_what_it_left_out(applied: Platform, tmp_path: Path) -> None:
    few = some(tmp_path / "few", 4, "img/none.jpg\t[]")
    ran = applied("import", PACK, few)
    assert ran.code == 0, ran.err
    assert "4 examples added" in ran.out
    assert "1 left out" in ran.out
    assert "none.jpg" in ran.err
    assert "4 known already" in applied.must("import", PACK, few)
    history = json.loads(applied.must("history", PACK, "-o", "json"))
    assert [version["version"] for version in history["versions"]] == ["v1"]
    assert len(history["datasets"]) == 1
    in_words = applied.must("history", PACK)
    assert in_words.startswith("VERSION")
    assert "no decisions yet" in in_words


def test_a_bundle_is_published_once_and_a_damaged_one_is_refused(applied: Platform, tmp_path: Path) -> None:
    active = json.loads(applied.must("history", PACK, "-o", "json"))["versions"][-1]
    bundle = tmp_path / "bundle"
    shutil.copytree(active["uri"].removeprefix("file://"), bundle)
    assert applied.must("publish", PACK, bundle) == f"{PACK} has that bundle already: v1 is active\n"
    assert json.loads(applied.must("publish", PACK, bundle, "-o", "json"))["digest"] == active["digest"]
    model = next(bundle.glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-100])
    ran = applied("publish", PACK, bundle)
    assert ran.code == 5, ran.err
    assert model.name in ran.err
    assert [v["version"] for v in json.loads(applied.must("history", PACK, "-o", "json"))["versions"]] == ["v1"]


def test_wishes_that_cannot_be_granted_are_refused(applied: Platform) -> None:
    for command in (("approve", PACK), ("rollback", PACK), ("rollback", PACK, "--to", "v7")):
        ran = applied(*command)
        assert ran.code in {3, 5}, ran.out + ran.err
        assert ran.err.startswith("error: ")


def test_an_unknown_pack_is_not_found_everywhere(applied: Platform) -> None:
    for command in (
        ("ocr", "read", PAGES[0], "--pack", "nobody"),
        ("evaluate", "nobody", "--data", HOLDOUT),
        ("history", "nobody"),
        ("train", "nobody"),
        ("import", "nobody", HOLDOUT),
    ):
        ran = applied(*command)
        assert ran.code == 3, f"{command}: {ran.code} {ran.err}"
        assert "nobody" in ran.err
        assert ran.err.count("error: ") == 1


def test_logs_tell_what_happened(applied: Platform) -> None:
    assert f"{PACK}  Registered" in applied.must("logs", PACK)
    assert f"{PACK}  Registered" in applied.must("logs")


def test_down_leaves_no_process_and_up_serves_the_same_version(applied: Platform, tmp_path: Path) -> None:
    assert "processes ended" in applied.must("down")
    assert _processes(applied.home) == []
    assert "was not running" in applied.must("down")
    ran = applied("ocr", "read", PAGES[0], "--pack", PACK)
    assert (ran.code, "packline up" in ran.err) == (4, True)
    applied.must("up", "--detach")
    applied.must("apply", "-f", EXAMPLE / "pack.yaml", "--wait")
    few = some(tmp_path / "few", 2)
    assert json.loads(applied.must("evaluate", PACK, "--data", few, "--json"))["model_version"] == "v1"


def _processes(home: Path) -> list[str]:
    """Command lines of processes that belong to this home by their environment."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if f"PACKLINE_HOME={home}".encode() in environment and command:
            found.append(command)
    return found
