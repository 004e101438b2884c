"""OCR beside its peer: errors and pages per second on real receipts, in one run.

`python tests/perf/bench_ocr.py [--pages N] [--json FILE]`. Each engine lives in a process of its own, all get the same
files, and they take turns block by block, in another order each time, so that a noisy machine is noisy for all. The
ratios are taken block by block. `rapidocr` runs with its defaults, a page at a time, as it offers it; so do ours in the
rows "page by page", and in the others a block at a time, as a batcher would give it to them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("PACKLINE_SHARED_DATA", ROOT.parent / "shared" / "data"))
RECEIPTS = SHARED / "ocr_sroie_sample"
SCORER = SHARED.parent / "eval" / "score_ocr.py"
PEER = "rapidocr"
BLOCK = 8

Lines = list[dict[str, Any]]
Reader = Callable[[Sequence[bytes]], list[Lines]]


@dataclass
class Row:
    """What one engine did."""

    name: str
    seconds: list[float] = field(default_factory=list)
    read: dict[str, Lines] = field(default_factory=dict)


def open_peer() -> Reader:
    """`rapidocr` as it comes."""
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error"})

    def read(files: Sequence[bytes]) -> list[Lines]:
        return [_peer_lines(engine(file)) for file in files]

    return read


def _peer_lines(result: Any) -> Lines:
    if result.boxes is None:
        return []
    pairs = zip(result.boxes, result.txts, strict=True)
    return [{"points": box.tolist(), "text": text} for box, text in pairs]


def open_ours(base: str, batched: bool) -> Reader:
    """A base of ours, from its sealed bundle."""
    from packline_core.bundle import verify
    from packline_core.errors import PacklineError
    from packline_core.runtime import Runtime
    from packline_ocr.domain import line_json
    from packline_ocr.task import OcrTask

    task = OcrTask()
    with tempfile.TemporaryDirectory() as folder:
        task.build_base(base, Path(folder))
        predictor = task.load(verify(Path(folder)), Runtime())

    def lines(page: Any) -> Lines:
        if isinstance(page, PacklineError):
            raise page
        return [line_json(line) for line in page.lines]

    def read(files: Sequence[bytes]) -> list[Lines]:
        pages = [predictor.prepare(file)[0] for file in files]
        if batched:
            return [lines(page) for page in predictor.predict(pages)]
        return [lines(predictor.predict([page])[0]) for page in pages]

    return read


ENGINES: dict[str, tuple[Callable[..., Reader], tuple[Any, ...]]] = {
    PEER: (open_peer, ()),
    "accurate, page by page": (open_ours, ("accurate", False)),
    f"accurate, {BLOCK} a batch": (open_ours, ("accurate", True)),
    "fast, page by page": (open_ours, ("fast", False)),
    f"fast, {BLOCK} a batch": (open_ours, ("fast", True)),
}


def serve(name: str, connection: Connection) -> None:
    """An engine's process: blocks of files in, seconds and lines out."""
    opener, arguments = ENGINES[name]
    read = opener(*arguments)
    connection.send("ready")
    while (files := connection.recv()) is not None:
        started = time.perf_counter()
        found = read(files)
        connection.send((time.perf_counter() - started, found))


def measure(images: Sequence[Path]) -> list[Row]:
    """All engines over all images, block by block in turn; the first block warms up and is then read again."""
    context = multiprocessing.get_context("spawn")
    connections: dict[str, Any] = {}
    processes = []
    for name in ENGINES:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(name, theirs), daemon=True)
        process.start()
        assert ours.recv() == "ready"
        connections[name] = ours
        processes.append(process)
    rows = {name: Row(name) for name in ENGINES}
    blocks = [images[start : start + BLOCK] for start in range(0, len(images), BLOCK)]
    names = list(ENGINES)
    for turn, block in enumerate([blocks[0][:2], *blocks]):
        files = [path.read_bytes() for path in block]
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            connections[name].send(files)
            seconds, found = connections[name].recv()
            if turn:
                rows[name].seconds.append(seconds)
                rows[name].read.update({path.name: lines for path, lines in zip(block, found, strict=True)})
    for connection in connections.values():
        connection.send(None)
    for process in processes:
        process.join()
    return list(rows.values())


def score(row: Row, labels: Path, folder: Path) -> dict[str, float]:
    """What the neutral script says."""
    predictions = folder / "predictions.jsonl"
    rows = (json.dumps({"image": image, "lines": lines}) for image, lines in row.read.items())
    predictions.write_text("\n".join(rows), encoding="utf8")
    command = [sys.executable, str(SCORER), str(labels), str(predictions)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Prints one table, and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=10_000, help="at most so many receipts")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    if not RECEIPTS.is_dir():
        sys.exit(f"{RECEIPTS} is not here; set PACKLINE_SHARED_DATA")
    from packline_ocr.formats import Labelled, read_labels, write_paddle

    labelled = [page for page in read_labels(RECEIPTS) if isinstance(page, Labelled)][: options.pages]
    rows = measure([page.image for page in labelled])
    peer = rows[0]
    figures = []
    with tempfile.TemporaryDirectory() as place:
        labels = Path(place) / "labels.txt"
        write_paddle(labels, [(page.image.name, page.lines) for page in labelled])
        for row in rows:
            ratios = sorted(theirs / ours for theirs, ours in zip(peer.seconds, row.seconds, strict=True))
            figures.append(
                {
                    "engine": row.name,
                    **score(row, labels, Path(place)),
                    "pages_per_second": len(labelled) / sum(row.seconds),
                    "ratio": statistics.median(ratios),
                    "ratio_low": ratios[0],
                    "ratio_high": ratios[-1],
                }
            )
    print(f"{len(labelled)} receipts in {len(peer.seconds)} blocks, {os.cpu_count()} CPUs")
    print(f"{'engine':26}{'CER':>8}{'exact':>8}{'pages/s':>9}   x {PEER}, median (least-most)")
    for f in figures:
        spread = f"{f['ratio']:.2f} ({f['ratio_low']:.2f}-{f['ratio_high']:.2f})"
        print(f"{f['engine']:26}{f['cer']:8.2%}{f['exact']:8.2%}{f['pages_per_second']:9.2f}   {spread}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"pages": len(labelled), "rows": figures}, indent=1), encoding="utf8")


if __name__ == "__main__":
    main()
