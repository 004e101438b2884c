"""From nothing to the first answer: `packline up`, `apply --wait`, one page; and the memory that all of it takes.

`python tests/perf/bench_startup.py [--json FILE] [--runs N]`. Each run has a home of its own; memory is the sum of PSS
over all of its processes, a few seconds after the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from packline_core.fleet.processes import home_processes, proportional_memory

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "ocr"
PACKLINE = str(Path(sys.executable).with_name("packline"))


def run(home: str) -> dict[str, float]:
    """One start; seconds of each stage and GiB."""
    environment = {**os.environ, "PACKLINE_HOME": home}

    def packline(*arguments: str) -> float:
        began = time.monotonic()
        subprocess.run([PACKLINE, *arguments], env=environment, check=True, capture_output=True)
        return time.monotonic() - began

    page = min((EXAMPLE / "documents" / "holdout" / "img").glob("*.jpg"))
    try:
        up = packline("up", "--detach")
        apply = packline("apply", "-f", str(EXAMPLE / "pack.yaml"), "--wait")
        read = packline("ocr", "read", str(page), "--pack", "delivery-notes")
        time.sleep(5)
        memory = proportional_memory(home_processes(home))
    finally:
        packline("down")
    return {"up": up, "apply": apply, "read": read, "first_answer": up + apply + read, "gib": memory / 2**30}


def main() -> None:
    """Measures, prints, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    runs = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(run(folder))
    medians = {key: round(statistics.median(one[key] for one in runs), 2) for key in runs[0]}
    each = ", ".join(f"{one['first_answer']:.0f}" for one in runs)
    print(
        f"up {medians['up']} s, apply {medians['apply']} s, first page {medians['read']} s: first answer after "
        f"{medians['first_answer']} s ({each}); "
        f"{medians['gib']} GiB PSS"
    )
    if options.json:
        options.json.write_text(json.dumps({"median": medians, "runs": runs}, indent=1), encoding="utf8")


if __name__ == "__main__":
    main()
