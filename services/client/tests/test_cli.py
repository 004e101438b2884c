"""The command as a user types it: exit codes, words on stderr, results on stdout."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from packline_core.packs import PackFiles

from .conftest import Packline

MANIFEST = """
apiVersion: packline.dev/v1alpha1
kind: Pack
metadata: {name: NAME}
spec: {task: ocr}
"""


def manifest(name: str = "invoices", **spec: object) -> str:
    parts = {"task": "ocr", **spec}
    return MANIFEST.replace("NAME", name).replace("{task: ocr}", json.dumps(parts))


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_lists_every_command_and_loads_nothing_slow(packline: Packline) -> None:
    ran = packline.process("--help")
    assert ran.code == 0
    data = "import correct train publish history approve rollback"
    commands = f"up down apply get describe delete ocr evaluate top {data} logs ui"
    listed = {line.split()[0] for line in ran.out.splitlines() if line.startswith("  ") and line.split()}
    assert set(commands.split()) <= listed
    slow = {"grpc", "rich", "pydantic", "psutil", "yaml", "google.protobuf.message", "ray", "torch", "onnxruntime"}
    assert not loaded_by("import packline_client.cli") & slow


def test_the_sdk_needs_no_model_runtime() -> None:
    code = "import packline_client.client, packline_client.labelled, packline_client.platform, packline_client.packview"
    assert not loaded_by(code) & {"ray", "torch", "onnxruntime", "sqlalchemy", "mlflow"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nonsense",), 2, "nonsense"),
        (("get", "things"), 2, "things"),
        (("get", "pack", "none"), 3, "there is no Pack none"),
        (("describe", "pack", "none"), 3, "there is no Pack none"),
        (("describe", "pack", "No_Name"), 2, "no name of a Pack"),
        (("delete", "pack", "none"), 3, "there is no Pack none"),
        (("delete",), 2, "say what to delete"),
        (("apply",), 2, "packline apply -f"),
        (("apply", "-f", "no-such-file.yaml"), 3, "no-such-file.yaml"),
        (("correct", "invoices"), 2, "--prediction"),
        (("correct", "invoices", "--prediction", "p1"), 2, "--truth"),
        (("ui",), 5, "train first"),
        (("history", "invoices"), 4, "packline up"),
        (("top", "--once"), 4, "packline up"),
        (("import", "invoices", "no-such-folder"), 3, "no-such-folder"),
        (("publish", "invoices", "no-such-folder"), 3, "no-such-folder"),
        (("publish", "invoices", "."), 2, "no sealed bundle"),
        (("logs", "none"), 3, "there is no Pack none"),
    ],
)
def test_errors_are_words_and_a_code(packline: Packline, arguments: tuple[str, ...], code: int, words: str) -> None:
    ran = packline(*arguments)
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "rror" in ran.err
    assert "Traceback" not in ran.err
    assert not ran.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no manifest"),
        (": : :", "not YAML"),
        ("[1, 2]", "manifest"),
        (manifest(servng={}), "spec.servng: unknown field"),
        (manifest(serving={"replicas": {"min": -1}}), "spec.serving.replicas.min"),
        (manifest(serving={"replicas": {"min": 3, "max": 2}}), "min (3) is above max (2)"),
        (manifest(rollout={"steps": [{"weight": 100}]}), "spec.rollout.steps[0].weight"),
        (manifest(gate={"tolerance": "101%"}), "spec.gate.tolerance"),
        (manifest(rollout={"shadow": "soon"}), "'soon' is no duration"),
        (manifest(ocr={"no_such_option": 1}), "spec.ocr.no_such_option"),
        (manifest(model={"base": "huge"}), "spec.model.base"),
        (manifest("packline-training"), "metadata.name"),
        (manifest("Not_A_Name"), "metadata.name"),
        (manifest(task="astrology"), "no task 'astrology'"),
    ],
)
def test_a_wrong_manifest_is_named_with_its_field(packline: Packline, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(manifest("good") + "---" + text if text.startswith("\n") else text)
    ran = packline("apply", "-f", path)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {path}: ")
    assert words in ran.err
    assert not PackFiles(packline.home / "packs").list()


def test_a_pack_from_apply_to_delete(packline: Packline, tmp_path: Path) -> None:
    path = tmp_path / "packs.yaml"
    path.write_text(manifest() + "---" + manifest("receipts"))
    first, second = packline("apply", "-f", path), packline("apply", "-f", path)
    assert (first.code, first.out.splitlines()) == (0, ["pack invoices created", "pack receipts created"])
    assert "packline up" in first.err
    assert second.out.splitlines() == ["pack invoices unchanged", "pack receipts unchanged"]
    changed = packline("apply", "-f", "-", stdin=manifest(paused=True))
    assert changed.out == "pack invoices changed\n"

    listed = json.loads(packline("get", "packs", "-o", "json").out)
    assert [(view["name"], view["ready"], view["phase"], view["generation"]) for view in listed] == [
        ("invoices", "Unknown", "Pending", 2),
        ("receipts", "Unknown", "Pending", 1),
    ]
    table = packline("get", "packs").out.splitlines()
    assert table[0].split()[:3] == ["NAME", "TASK", "READY"]
    assert table[1].split()[:3] == ["invoices", "ocr", "Unknown"]
    assert "\x1b" not in "".join(table)

    told = packline("describe", "pack", "invoices")
    assert told.code == 0
    assert "invoices is a Pack of task ocr." in told.out
    assert "No version answers yet." in told.out
    assert "not running" in told.err

    assert packline("delete", "pack", "invoices").out == "pack invoices deleted\n"
    assert json.loads(packline("get", "packs", "invoices", "-o", "json").out)[0]["phase"] == "Deleting"
    refused = packline("apply", "-f", path)
    assert (refused.code, "being deleted" in refused.err) == (5, True)
    assert packline("delete", "-f", path).code == 0


def test_waiting_without_a_platform_says_what_to_do(packline: Packline, tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(manifest())
    ran = packline("apply", "-f", path, "--wait")
    assert ran.code == 4
    assert "packline up" in ran.err


def test_logs_show_events_and_lines_and_follow_them(packline: Packline, tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(manifest())
    packline("apply", "-f", path)
    files = PackFiles(packline.home / "packs")
    files.append_events("invoices", [{"at": "2026-01-02T03:04:05Z", "reason": "Running", "message": "1 replica runs."}])
    (packline.home / "logs").mkdir()
    (packline.home / "logs" / "platform.log").write_text("one\ntwo\nthree\n")
    everything = packline("logs", "--tail", "2").out
    assert "invoices  Running  1 replica runs." in everything
    assert "platform  two\nplatform  three\n" in everything
    assert "one" not in everything.replace("platform  one", "one")
    assert packline("logs", "invoices").out.count("\n") == 1

    command = [sys.executable, "-u", "-m", "packline_client", "logs", "--follow", "--tail", "0"]
    with subprocess.Popen(command, env=packline.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout
        stop = threading.Event()

        def go_on() -> None:
            """More and more, since nobody knows when the command began to look."""
            for number in itertools.count():
                files.append_events("invoices", [{"key": str(number), "type": "Warning", "reason": "Slower"}])
                if stop.wait(0.3):
                    return

        writer = threading.Thread(target=go_on)
        writer.start()
        try:
            line = following.stdout.readline()
        finally:
            stop.set()
            writer.join()
            following.terminate()
    assert "invoices  Slower  warning: " in line


def test_errors_of_a_real_process_carry_no_traceback(packline: Packline) -> None:
    ran = packline.process("get", "pack", "none")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "error: there is no Pack none; see: packline get pack\n"


def test_version(packline: Packline) -> None:
    ran = packline("version")
    assert ran.code == 0
    assert ran.out.startswith("packline 0.")
