"""The echo task by itself: reading, answering, learning."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from packline_core.bundle import verify
from packline_core.errors import InvalidInput
from packline_core.runtime import Runtime
from packline_core.task import BadRow, Example, Trial, get_task
from packline_echo.bundles import write_bundle


def test_the_same_arguments_give_the_same_bundle(tmp_path: Path) -> None:
    assert write_bundle(tmp_path / "a", offset=1.0).digest == write_bundle(tmp_path / "b", offset=1.0).digest
    assert write_bundle(tmp_path / "c", offset=2.0).digest != verify(tmp_path / "a").digest


@pytest.mark.parametrize("base", ["identity", "chain"])
def test_a_base_answers_one_and_many_alike(tmp_path: Path, base: str) -> None:
    task = get_task("echo")
    task.build_base(base, tmp_path / base)
    predictor = task.load(verify(tmp_path / base), Runtime(threads=1))
    items = [predictor.prepare([float(n)] * 256)[0] for n in range(3)]
    together = predictor.predict(items)
    for item, answer in zip(items, together, strict=True):
        assert predictor.predict([item])[0] == pytest.approx(answer, abs=1e-4)
    with pytest.raises(InvalidInput):
        predictor.prepare([float("nan")])
    predictor.close()


def test_it_learns_the_constant_that_it_is_off_by(tmp_path: Path) -> None:
    task = get_task("echo")
    rows = [{"values": [n, n + 1], "truth": [n + 3, n + 4]} for n in range(5)]
    lines = [*(json.dumps(row) for row in rows), "no json", json.dumps({"values": [1], "truth": [1, 2]})]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    read = list(task.read(tmp_path))
    examples = [row for row in read if isinstance(row, Example)]
    bad = [row for row in read if isinstance(row, BadRow)]
    assert (len(examples), [row.line for row in bad]) == (5, [6, 7])

    start = write_bundle(tmp_path / "start")
    reports: list[float] = []
    context = SimpleNamespace(
        checkpoints=tmp_path / "work", report=lambda percent, stage, metrics: reports.append(percent)
    )
    space = task.search_space("identity")
    trained = task.train(Trial("identity", start, space.start, 1), examples, context)  # type: ignore[arg-type]
    task.export(trained, start, tmp_path / "new")
    predictor = task.load(verify(tmp_path / "new"), Runtime(threads=1))
    scores = list(task.evaluate(predictor, iter(examples)))
    assert sum(score.counts["error"].value for score in scores) == pytest.approx(0, abs=1e-4)
    assert reports == [100.0]
    answer = predictor.answer(b"[1, 2]")
    assert task.agreement(answer, answer) == 1.0 and task.signals(answer)["mean"] == pytest.approx(4.5)
