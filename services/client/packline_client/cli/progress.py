"""A run's progress: a live bar on a terminal, a line at each new stage elsewhere."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from packline_core.errors import DeadlineExceeded, Unavailable

from packline_client.cli.common import is_terminal, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packline_client import Client
    from packline_client.training_types import Run

# A training service that was killed is back well within this time, and the run goes on.
_AWAY_SECONDS = 180.0


def watched(client: Client, run: Run) -> Iterator[Run]:
    """A run at each change until it has ended, over restarts of the training service."""
    last_seen = time.monotonic()
    while not run.state.ended:
        try:
            for run in client.training.watch_run(run.pack, run.run_id):  # noqa: B020, PLR1704 - the newest is kept
                last_seen = time.monotonic()
                yield run
        except (Unavailable, DeadlineExceeded):
            if time.monotonic() - last_seen > _AWAY_SECONDS:
                raise
        if not run.state.ended:
            time.sleep(1.0)


def follow_run(client: Client, run: Run) -> Run:
    """Shows a run until it has ended, and gives it as it ended."""
    return _on_terminal(client, run) if is_terminal() else _in_lines(client, run)


def _in_lines(client: Client, run: Run) -> Run:
    told = None
    for run in watched(client, run):  # noqa: B020, PLR1704 - the newest is kept
        # Stages count steps and pages; a line is worth it for each kind of stage and each tenth of the way.
        news = re.sub(r"\d+", "", run.stage), int(run.percent / 10)
        if news != told:
            told = news
            say(f"{run.percent:3.0f}%  {run.stage}{_metrics(run)}{_left(run)}")
    return run


def _on_terminal(client: Client, run: Run) -> Run:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        job = bar.add_task(run.stage or str(run.state), total=100, note="")
        for run in watched(client, run):  # noqa: B020, PLR1704 - the newest is kept
            note = f"{_metrics(run)}{_left(run)}".strip()
            bar.update(job, completed=run.percent, description=run.stage or str(run.state), note=note)
    return run


def _metrics(run: Run) -> str:
    return "".join(f"  {name} {value:.4g}" for name, value in run.metrics.items())


def _left(run: Run) -> str:
    if run.eta is None:
        return ""
    seconds = int(run.eta.total_seconds())
    return f"  {seconds // 60}:{seconds % 60:02d} left"
