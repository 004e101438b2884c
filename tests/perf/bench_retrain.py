"""OCR that mends itself: what retraining on corrected receipts brings, beside its base and its peer, in one run.

`python tests/perf/bench_retrain.py [--receipts 5 10 19] [--seeds 3] [--minutes M] [--json FILE]`. The receipts are
split in two halves by a hash of their names, always the same. The fast base is trained on the labels of some receipts
of one half, drawn by the seed, as corrections would give them; all engines then read the other half, whole pages with
the real detector, and the neutral script scores them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_ocr import RECEIPTS, Lines, Row, open_peer, score
from clocked import Context
from packline_core.bundle import Bundle, verify
from packline_core.errors import PacklineError
from packline_core.runtime import Runtime
from packline_core.task import Example, Trial
from packline_ocr.domain import line_json, truth_json
from packline_ocr.formats import Labelled, read_labels, write_paddle
from packline_ocr.task import OcrTask

TASK = OcrTask()
BASE = "fast"


def halves(pages: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Training half and test half."""
    order = sorted(pages, key=lambda page: hashlib.sha256(page.image.stem.encode()).hexdigest())
    middle = len(order) // 2
    return order[:middle], order[middle:]


def example_of(page: Labelled) -> Example:
    return TASK.example(page.image.read_bytes(), 1, truth_json(page.lines), page.source)


def read_with(bundle: Bundle, pages: Sequence[Labelled]) -> Row:
    """What a bundle of ours reads, by the whole engine."""
    predictor = TASK.load(bundle, Runtime())
    row = Row(bundle.digest)
    for page in pages:
        (found,) = predictor.predict(predictor.prepare(page.image.read_bytes()))
        if isinstance(found, PacklineError):
            raise found
        row.read[page.image.name] = [line_json(line) for line in found.lines]
    predictor.close()
    return row


def read_with_peer(pages: Sequence[Labelled]) -> Row:
    read, row = open_peer(), Row("rapidocr")
    for page in pages:
        lines: Lines = read([page.image.read_bytes()])[0]
        row.read[page.image.name] = lines
    return row


def retrain(start: Bundle, pages: Sequence[Labelled], seed: int, options: Any, folder: Path) -> tuple[Bundle, float]:
    """A bundle trained on the labels of `pages`, and the seconds that training took."""
    from packline_training.sealing import Origin, seal_export

    checkpoints, made = folder / "checkpoints", folder / "bundle"
    checkpoints.mkdir(parents=True)
    made.mkdir()
    context = Context(checkpoints, options.minutes * 60, options.threads)
    trial = Trial(BASE, start, TASK.search_space(BASE).start, seed)
    began = time.monotonic()
    trained = TASK.train(trial, [example_of(page) for page in pages], context)
    seconds = time.monotonic() - began
    TASK.export(trained, start, made)
    origin = Origin(BASE, "", trained.metrics, {}, trained.notes)
    print("\r" + " ".join(trained.notes), file=sys.stderr)
    return seal_export(TASK, made, origin, Runtime(), options.now), seconds


def main() -> None:
    """Prints one table, and writes it as JSON where asked."""
    from datetime import UTC, datetime

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--receipts", type=int, nargs="+", default=[5, 10, 19])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=6.0, help="budget of each training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args(namespace=argparse.Namespace(now=datetime.now(UTC)))
    if not RECEIPTS.is_dir():
        sys.exit(f"{RECEIPTS} is not here; set PACKLINE_SHARED_DATA")
    training, test = halves([page for page in read_labels(RECEIPTS) if isinstance(page, Labelled)])
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        labels = folder / "labels.txt"
        write_paddle(labels, [(page.image.name, page.lines) for page in test])

        def add(row: Row, **about: Any) -> None:
            figures.append({**about, **score(row, labels, folder)})
            print(f"{about}: CER {figures[-1]['cer']:.2%}, strict {figures[-1]['cer_strict']:.2%}", flush=True)

        (folder / "start").mkdir()
        TASK.build_base(BASE, folder / "start")
        start = verify(folder / "start")
        add(read_with(start, test), engine="base")
        add(read_with_peer(test), engine="rapidocr")
        for count in options.receipts:
            for seed in range(options.seeds):
                chosen = random.Random(seed).sample(training, min(count, len(training)))
                bundle, seconds = retrain(start, chosen, seed, options, folder / f"{count}-{seed}")
                add(read_with(bundle, test), engine="retrained", receipts=count, seed=seed, seconds=round(seconds))
    _table(figures, options.receipts, len(test))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"pages": len(test), "rows": figures}, indent=1), encoding="utf8")


def _table(figures: Sequence[Mapping[str, Any]], counts: Sequence[int], pages: int) -> None:
    base, peer = (next(f["cer"] for f in figures if f["engine"] == name) for name in ("base", "rapidocr"))
    print(f"CER on {pages} receipts that no training saw: base {base:.2%}, rapidocr {peer:.2%}")
    print(f"{'receipts':>8}{'CER':>8}{'least-most':>16}{'fall':>8}{'x rapidocr':>12}{'seconds':>9}")
    for count in counts:
        rows = [f for f in figures if f.get("receipts") == count]
        found = sorted(f["cer"] for f in rows)
        mean, seconds = statistics.mean(found), statistics.mean(f["seconds"] for f in rows)
        spread = f"{found[0]:.2%}-{found[-1]:.2%}"
        print(f"{count:8}{mean:8.2%}{spread:>16}{1 - mean / base:8.1%}{mean / peer:12.2f}{seconds:9.0f}")


if __name__ == "__main__":
    main()
