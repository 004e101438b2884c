"""A trial in its own folder: it resumes, tells, is called off, and keeps to its budget."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from packline_core.errors import Cancelled
from packline_core.store import ObjectStore
from packline_core.task import Example, get_task
from packline_slope.task import SlopeTask
from packline_training.shards import ShardWriter, StoredExamples
from packline_training.trial import TrialOrder, left_by, run_trial, trial_folder

PARAMETERS = {"rate": 0.3, "momentum": 0.0}


@pytest.fixture
def order(tmp_path: Path) -> TrialOrder:
    start = tmp_path / "start"
    start.mkdir()
    SlopeTask().build_base("flat", start)
    store = ObjectStore(str(tmp_path / "store"))
    writer = ShardWriter(store, tmp_path)
    task = get_task("slope")
    examples: list[Example] = [
        task.example(json.dumps({"x": x / 10}).encode(), 1, json.dumps({"y": 0.3 * x + 1}), "") for x in range(50)
    ]
    places = [place for example in examples for _, place in writer.add(example)]
    places += [place for _, place in writer.finish()]
    stored = StoredExamples(str(tmp_path / "store"), places)
    return TrialOrder("slope", "flat", start, stored, tmp_path / "run", 1, 60.0, 1, 0)


def test_a_trial_leaves_its_result_and_tells(order: TrialOrder) -> None:
    told: list[tuple[float, str]] = []

    def tell(percent: float, stage: str, metrics: Mapping[str, float]) -> bool:
        told.append((percent, stage))
        return False

    result = run_trial(order, PARAMETERS, tell)
    assert result.metrics["mae"] < 0.5 and result.notes == ("learned a slope",) and not result.error
    assert told[0][1] == "step 1 of 40" and told[-1] == (100.0, "step 40 of 40")
    assert left_by(order.folder) == ([result], [])


def test_a_trial_called_off_can_be_taken_up_again(order: TrialOrder) -> None:
    with pytest.raises(Cancelled):
        run_trial(order, PARAMETERS, lambda *_: True)
    assert left_by(order.folder) == ([], [PARAMETERS])
    place = trial_folder(order.folder, PARAMETERS) / "checkpoints"
    assert json.loads((place / "slope.json").read_text())["step"] == 1
    result = run_trial(order, PARAMETERS, lambda *_: False)
    began = [int(line.split()[1]) for line in (place / "pids").read_text().splitlines()]
    assert began == [0, 1] and left_by(order.folder)[0] == [result]


def test_time_that_a_lost_process_spent_counts(order: TrialOrder) -> None:
    folder = trial_folder(order.folder, PARAMETERS)
    folder.mkdir(parents=True)
    (folder / "spent").write_text("50.0")
    result = run_trial(order, PARAMETERS, lambda *_: False)
    assert 50 < result.seconds < 60


def test_a_refusal_is_a_result_and_is_not_tried_again(
    order: TrialOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = tmp_path / "control.json"
    control.write_text('{"fail": "the labels are all the same"}')
    monkeypatch.setenv("SLOPE_CONTROL", str(control))
    result = run_trial(order, PARAMETERS, lambda *_: False)
    assert result.error == "the labels are all the same"
    assert left_by(order.folder) == ([result], [])
