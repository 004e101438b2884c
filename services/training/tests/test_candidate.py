"""From trials to a sealed bundle within the objective's limits."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from packline_core.bundle import open_bundle, verify
from packline_core.errors import BundleRejected
from packline_core.runtime import Runtime
from packline_core.task import Metric, get_task
from packline_slope.task import SlopeTask
from packline_training.candidate import Making, make_candidate
from packline_training.search import best_first
from packline_training.trial import TrialResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trial(folder: Path, slope: float, mae: float) -> TrialResult:
    folder.mkdir(parents=True)
    (folder / "slope.json").write_text(json.dumps({"a": slope, "b": 0.0}))
    return TrialResult({"rate": slope}, 3.0, {"mae": mae}, str(folder), ("a note",))


@pytest.fixture
def making(tmp_path: Path) -> Making:
    start = tmp_path / "start"
    start.mkdir()
    SlopeTask().build_base("flat", start)
    example = get_task("slope").example(b'{"x": 1.0}', 1, '{"y": 1.0}', "")
    return Making("r1", open_bundle(start), "sha256:d", [example] * 5, None, 7, Runtime(threads=1), tmp_path / "c", NOW)


def test_the_best_trial_is_sealed_with_where_it_comes_from(making: Making, tmp_path: Path) -> None:
    trials = [trial(tmp_path / "a", 1.0, 0.5), trial(tmp_path / "b", 2.0, 0.2), TrialResult({}, 1.0, error="broke")]
    best = best_first(trials, Metric("mae", "min", ""))
    assert [t.metrics["mae"] for t in best] == [0.2, 0.5]
    assert [t.metrics["mae"] for t in best_first(trials, Metric("mae", "max", ""))] == [0.5, 0.2]
    bundle = make_candidate(get_task("slope"), best, making).bundle
    manifest = verify(bundle.folder, bundle.digest).manifest
    assert (manifest.base, manifest.dataset, manifest.notes) == ("flat", "sha256:d", ("a note",))
    assert manifest.metrics == {"mae": 0.2}
    assert manifest.provenance["parameters"] == {"rate": 2.0} and manifest.provenance["seed"] == 7
    assert manifest.provenance["start"] == making.start.digest and "onnxruntime" in manifest.provenance["software"]
    (reference,) = manifest.references
    assert json.loads(bundle.path(reference.answer).read_text()) == {"y": 4.0}


def test_a_trial_that_is_too_slow_or_cannot_be_exported_is_passed_over(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tmp_path / "control.json"
    control.write_text('{"answer_seconds": 0.05}')
    monkeypatch.setenv("SLOPE_CONTROL", str(control))
    good = trial(tmp_path / "a", 1.0, 0.5)
    with pytest.raises(BundleRejected, match=r"trial 1 answers in \d+ ms \(p90\), objective.maxLatencyMs is 1"):
        make_candidate(get_task("slope"), [good], replace(making, max_latency_ms=1))
    chosen = make_candidate(get_task("slope"), [good], replace(making, max_latency_ms=60_000))
    assert chosen.trial == good
