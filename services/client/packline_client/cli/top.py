"""`packline top`: what every Pack does now."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from packline_client.cli.common import Output, OutputOption, connected, print_json, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from packline_client.overview import PackFigures

_HEADER = ("PACK", "VERSION", "ROLE", "TRAFFIC", "REPLICAS", "CALLS/S", "P50", "P90", "ERRORS", "CORRECTED")


def top(
    once: Annotated[bool, typer.Option("--once", help="Print once and end.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    window: Annotated[int, typer.Option(min=1, help="Seconds that the figures are of.")] = 60,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show what every Pack does now. Without a terminal it prints once."""
    from packline_client.overview import gather

    span = timedelta(seconds=window)
    with connected() as client:

        def look() -> list[PackFigures]:
            return gather(client, datetime.now(UTC), span)

        if output is Output.JSON:
            print_json({"window_seconds": window, "packs": look()})
        elif once or not sys.stdout.isatty():
            print_table(_HEADER, [_cells(row) for row in look()])
        else:
            _live(look, every)


def _live(look: object, every: float) -> None:
    from rich.live import Live

    assert callable(look)
    with Live(_table(look()), screen=True) as live:
        while True:
            time.sleep(every)
            live.update(_table(look()))


def _table(rows: list[PackFigures]) -> Table:
    from rich.table import Table

    table = Table(title=f"Packs at {datetime.now(UTC):%H:%M:%S} UTC; leave with Ctrl-C", expand=True)
    for column in _HEADER:
        table.add_column(column, justify="left" if column in _HEADER[:3] else "right")
    for row in rows:
        table.add_row(*_cells(row), style="bold" if row.role == "active" else "dim" if row.role == "earlier" else "")
    return table


def _cells(row: PackFigures) -> tuple[str, ...]:
    return (
        row.pack,
        row.version,
        row.phase or row.role,
        f"{row.traffic}%",
        f"{row.ready}/{row.replicas}",
        f"{row.per_second:.1f}",
        _milliseconds(row.p50),
        _milliseconds(row.p90),
        f"{row.errors:.1%}",
        str(row.corrected),
    )


def _milliseconds(span: timedelta | None) -> str:
    return "" if span is None else f"{span.total_seconds() * 1000:.0f} ms"
