"""Gate runs on real bundles and a real golden snapshot, in this process."""

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from packline_core.bundle import Bundle, seal
from packline_core.errors import Cancelled, Conflict
from packline_slope.task import write_model
from packline_slope.testing import Clock, manifest
from packline_training.bases import put_bundle
from packline_training.conduct import Conduct, NoCandidate
from packline_training.domain import Decision, DecisionKind, GateOutcome, RunKind, VersionState
from packline_training.engine import TrainingEngine
from packline_training.gate_run import gate
from packline_training.progress import Progress
from packline_training.registry import NewVersion


@pytest.fixture(autouse=True)
def same_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.nice", lambda by: 0)


class Place:
    """A Pack with v1 (y = 0) and examples of y = 2x."""

    def __init__(self, training: TrainingEngine, clock: Clock, folder: Path) -> None:
        self.training, self.clock, self.folder = training, clock, folder
        self.tables = training.tables
        self.count = 0

    def pack(self, rows: int = 200, **spec: Any) -> None:
        self.training.register_pack("line", manifest(**spec).to_json())
        if rows:
            self.rows(range(rows))

    def rows(self, numbers: range) -> None:
        with self.training.upload_folder() as folder:
            (folder / "a.tsv").write_text("".join(f"{float(x)}\t{2.0 * x}\n" for x in numbers))
            self.training.import_dataset("line", folder)

    def version(self, slope: float, *, damage: bool = False) -> str:
        self.count += 1
        folder = self.folder / f"bundle{self.count}"
        folder.mkdir()
        write_model(slope, 0.0, folder)
        if damage:
            (folder / "slope.onnx").write_bytes(b"not a model")
        bundle: Bundle = seal(folder, task="slope", base="flat", created_at=self.clock(), signature={}, references=())
        name = put_bundle(self.tables.store, bundle)
        return self.tables.registry.register("line", NewVersion(bundle.digest, name, "published", "flat")).name

    def gate(self, version: str) -> Conduct:
        self.count += 1
        self.tables.runs.start("line", f"g{self.count}", RunKind.GATE, "", version)
        run = self.tables.runs.claim("me", timedelta(hours=1))
        assert run is not None
        progress = Progress(run, self.clock)
        return Conduct(
            settings=self.training.settings,
            tables=self.tables,
            run=run,
            owner="me",
            clock=self.clock,
            progress=progress,
            called_off=threading.Event(),
        )

    def judged(self, version: str) -> Any:
        conduct = self.gate(version)
        outcome = gate(conduct)
        self.end(conduct)
        judged = self.tables.registry.state("line").version(version)
        assert judged.gate is not None and outcome.message == judged.gate.reason
        return judged

    def end(self, conduct: Conduct) -> None:
        from packline_training.domain import RunState

        self.tables.runs.finish(conduct.run, "me", RunState.SUCCEEDED, "")

    def promote(self, version: str) -> None:
        registry = self.tables.registry
        for kind in (DecisionKind.BEGIN_ROLLOUT, DecisionKind.PROMOTE):
            revision = registry.state("line").revision
            registry.decide("line", Decision(f"{kind}-{version}", kind, version, revision))


@pytest.fixture
def place(training: TrainingEngine, clock: Clock, tmp_path: Path) -> Place:
    return Place(training, clock, tmp_path)


def test_a_better_version_passes_and_a_worse_one_does_not(place: Place) -> None:
    place.pack()
    good, bad = place.judged(place.version(2.0)), place.judged(place.version(-1.0))
    assert (good.state, good.gate.outcome, good.gate.metric) == (VersionState.PASSED, GateOutcome.PASSED, "mae")
    assert good.gate.old is None and good.gate.new.examples >= 30 and good.gate.new.candidate == 0
    assert (bad.state, bad.gate.outcome) == (VersionState.REGISTERED, GateOutcome.FAILED)
    assert "may be worse than v1's by" in bad.gate.reason


def test_after_a_promotion_what_was_golden_then_is_old(place: Place) -> None:
    place.pack()
    first = place.version(1.9)
    place.judged(first)
    place.promote(first)
    place.rows(range(200, 400))
    second = place.judged(place.version(2.0))
    assert second.state is VersionState.PASSED and second.gate.active_version == first
    assert second.gate.old.examples >= 20 and second.gate.new.examples >= 20
    assert place.tables.registry.state("line").version(first).gate_dataset == 1 and second.gate_dataset == 2
    forgets = place.judged(place.version(1.5))
    assert forgets.gate.outcome is GateOutcome.FAILED and "known before" in forgets.gate.reason


def test_few_golden_examples_none_and_no_gate(place: Place) -> None:
    place.pack(rows=10)
    few = place.judged(place.version(2.0))
    assert (few.state, few.gate.outcome) == (VersionState.PASSED, GateOutcome.TOO_FEW)
    assert "30 are asked for: it goes into shadow and waits for approval" in few.gate.reason
    place.training.register_pack("line", manifest(gate={"onSmallGolden": "reject"}).to_json())
    strict = place.judged(place.version(2.1))
    assert (strict.state, strict.gate.outcome) == (VersionState.REGISTERED, GateOutcome.TOO_FEW)
    place.training.register_pack("line", manifest(gate={"enabled": False}).to_json())
    off = place.judged(place.version(2.2))
    assert (off.state, off.gate.outcome, off.gate_dataset) == (VersionState.PASSED, GateOutcome.SKIPPED, 0)


def test_without_any_dataset_the_gate_says_so(place: Place) -> None:
    place.pack(rows=0)
    assert place.judged(place.version(2.0)).gate.reason.startswith("0 golden examples, 30 are asked for")


def test_a_bundle_that_cannot_be_opened_fails_the_gate(place: Place) -> None:
    place.pack()
    broken = place.judged(place.version(2.0, damage=True))
    assert (broken.state, broken.gate.outcome) == (VersionState.REGISTERED, GateOutcome.FAILED)
    assert "cannot be used: " in broken.gate.reason


def test_a_judgement_that_came_too_late_does_not_count(place: Place) -> None:
    place.pack()
    first, second = place.version(1.9), place.version(2.0)
    place.judged(first)
    late = place.gate(second)
    judge, place.tables.registry.judge = place.tables.registry.judge, None  # type: ignore[method-assign,assignment]

    def promoted_first(*values: Any, **more: Any) -> None:
        place.promote(first)
        judge(*values, **more)

    place.tables.registry.judge = promoted_first  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="has to be judged again"):
        gate(late)
    assert place.tables.registry.state("line").version(second).gate is None


def test_only_registered_versions_are_judged_and_a_gate_can_be_called_off(place: Place) -> None:
    place.pack()
    conduct = place.gate("v1")
    with pytest.raises(NoCandidate, match="v1 is active already"):
        gate(conduct)
    place.end(conduct)
    called_off = place.gate(place.version(2.0))
    called_off.called_off.set()
    with pytest.raises(Cancelled):
        gate(called_off)
    assert json.dumps(called_off.progress.changed())
