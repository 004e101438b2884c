from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from packline_core.stats import bootstrap_interval
from packline_core.task import ExampleScore
from packline_ocr.domain import LabelledLine, ReadLine
from packline_ocr.formats import Labelled, read_labels, write_paddle
from packline_ocr.metrics import METRICS, agreement, score_page

Pages = dict[str, tuple[LabelledLine, ...]]
Read = dict[str, list[ReadLine]]


def box(x: float, y: float, width: float, height: float = 20) -> tuple[tuple[float, float], ...]:
    return ((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def spoil(lines: tuple[LabelledLine, ...], chance: random.Random) -> list[ReadLine]:
    """A reading with lost, cut, joined, shifted, invented lines and wrong characters."""
    read = []
    for line in lines:
        text = "".join(c if chance.random() > 0.05 else chance.choice(" xé㍿Aß") for c in line.text)
        shift = chance.uniform(-4, 4)
        points = tuple((x + shift, y + chance.uniform(-1.5, 1.5)) for x, y in line.points)
        match chance.randrange(8):
            case 0:
                continue
            case 1:
                read.append(ReadLine(tuple((x + 900, y) for x, y in points), text, 0.5))
            case 2:
                read += [ReadLine(points, text, 0.9), ReadLine(points, text[::2], 0.4)]
            case _:
                read.append(ReadLine(points, text, 0.9))
    return read


def ours(truth: Pages, read: Read) -> dict[str, float]:
    scores = [ExampleScore(name, name, score_page(lines, read.get(name, []))) for name, lines in truth.items()]
    return {metric.name: bootstrap_interval(scores, metric.name).value for metric in METRICS}


def theirs(truth: Pages, read: Read, script: Path, folder: Path) -> dict[str, float]:
    write_paddle(folder / "labels.txt", truth.items())
    rows = [
        {"image": name, "lines": [{"points": line.points, "text": line.text} for line in lines]}
        for name, lines in read.items()
    ]
    (folder / "read.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    command = [sys.executable, str(script), str(folder / "labels.txt"), str(folder / "read.jsonl")]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def check_equal(truth: Pages, read: Read, shared: Path, folder: Path) -> None:
    expected = theirs(truth, read, shared / "eval" / "score_ocr.py", folder)
    found = ours(truth, read)
    assert {name: round(value, 4) for name, value in found.items()} == {name: expected[name] for name in found}


def test_equal_to_the_neutral_script_on_receipts(shared: Path, tmp_path: Path) -> None:
    receipts = shared / "data" / "ocr_sroie_sample"
    if not receipts.is_dir():
        pytest.skip(f"{receipts} is not on this machine")
    chance = random.Random(0)
    pages = [page for page in read_labels(receipts) if isinstance(page, Labelled)]
    truth = {page.image.name: page.lines for page in pages}
    check_equal(truth, {name: spoil(lines, chance) for name, lines in truth.items()}, shared, tmp_path)


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_the_neutral_script_on_odd_pages(seed: int, shared: Path, tmp_path: Path) -> None:
    chance = random.Random(seed)
    texts = ["", " ", "Straße ", "ΑΣ Σ", "a  b", "İstanbul", "№ 12", "x" * 200, "한글 문서"]
    truth = {
        f"{number}.png": tuple(
            LabelledLine(box(chance.uniform(0, 300), chance.uniform(0, 200), chance.uniform(0, 250)), text)
            for text in chance.sample(texts, 5)
        )
        for number in range(5)
    }
    read = {name: spoil(lines, chance) for name, lines in truth.items()}
    del read["3.png"]
    check_equal(truth, read, shared, tmp_path)


def test_counts_are_of_the_page() -> None:
    truth = [LabelledLine(box(0, 0, 100), "Total 12"), LabelledLine(box(0, 50, 100), "kg")]
    read = [ReadLine(box(0, 0, 100), "total 13", 0.9), ReadLine(box(500, 500, 30), "XX", 0.9)]
    counts = score_page(truth, read)
    assert (counts["cer"].value, counts["cer"].weight) == (1 + 2, 7 + 2)
    assert (counts["cer_strict"].value, counts["cer_strict"].weight) == (2 + 2, 8 + 2)
    assert (counts["exact"].value, counts["exact"].weight) == (0, 2)
    assert (counts["invented"].value, counts["invented"].weight) == (2, 9)


def test_agreement() -> None:
    lines = [ReadLine(box(0, 0, 10), "abcd", 0.9)]
    assert agreement(lines, lines) == 1
    assert agreement(lines, []) == 0
    assert agreement([], []) == 1
    assert agreement(lines, [ReadLine(box(0, 0, 10), "abXd", 0.9)]) == 0.75
