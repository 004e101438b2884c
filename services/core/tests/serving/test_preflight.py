"""Bundles are tried in a process of their own, and what happens to it is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from packline_core.bundle import Bundle, Reference, seal
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime
from packline_core.serving.preflight import preflight
from packline_echo.bundles import write_bundle

RUNTIME = Runtime(threads=1)


def refusal(bundle: Bundle, tmp_path: Path, *, task: str = "echo", timeout: float = 60) -> BundleRejected:
    with pytest.raises(BundleRejected) as refused:
        preflight(bundle, task, RUNTIME, verdicts=tmp_path / "verdicts", timeout=timeout)
    assert not (tmp_path / "verdicts").exists()
    return refused.value


def test_a_sound_bundle_passes_once(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", offset=1.0)
    preflight(bundle, "echo", RUNTIME, verdicts=tmp_path / "verdicts")
    (noted,) = (tmp_path / "verdicts").iterdir()
    assert bundle.digest[7:] in noted.name
    preflight(bundle, "echo", RUNTIME, verdicts=tmp_path / "verdicts", timeout=0.001)  # not tried again


def test_one_that_kills_its_process(tmp_path: Path) -> None:
    error = refusal(write_bundle(tmp_path / "b", fault="kill_at_load"), tmp_path)
    assert error.reason == "PREFLIGHT_CRASHED"
    assert "SIGKILL" in error.message


def test_one_that_never_loads(tmp_path: Path) -> None:
    error = refusal(write_bundle(tmp_path / "b", fault="hang_at_load"), tmp_path, timeout=4)
    assert error.reason == "PREFLIGHT_TIMEOUT"


def test_one_of_another_signature(tmp_path: Path) -> None:
    error = refusal(write_bundle(tmp_path / "b", input_name="other"), tmp_path)
    assert error.reason == "SIGNATURE_MISMATCH" and "other" in error.message


def test_one_of_another_task(tmp_path: Path) -> None:
    assert refusal(write_bundle(tmp_path / "b"), tmp_path, task="ocr").reason == "WRONG_TASK"


def test_one_that_answers_otherwise_than_when_it_was_sealed(tmp_path: Path) -> None:
    first = write_bundle(tmp_path / "b", offset=1.0)
    answer = (first.folder / "reference" / "answer.json").read_text()
    folder = tmp_path / "c"
    write_bundle(folder, offset=2.0)
    (folder / "reference" / "answer.json").write_text(answer)
    changed = seal(
        folder,
        task="echo",
        base="identity",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        signature={},
        references=(Reference("reference/payload.json", "reference/answer.json"),),
    )
    assert refusal(changed, tmp_path).reason == "REFERENCE_DIFFERS"


def test_one_that_is_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    bundle = write_bundle(folder)
    (folder / "model.onnx").write_bytes(b"not a model")
    assert refusal(bundle, tmp_path).reason == "MODEL_UNREADABLE"
