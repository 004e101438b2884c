"""`packline evaluate`: how good a Pack is on labelled data, through the serving path."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from packline_client.cli.common import Exit, NameArgument, TimeoutOption, complain, connected, print_table


def evaluate(
    name: NameArgument,
    data: Annotated[Path, typer.Option(help="A folder of labelled examples.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Examples in flight at once.")] = 4,
    timeout: TimeoutOption = 300.0,
) -> None:
    """Score a Pack on labelled data. Each figure comes with its 90 % interval.

    An example that gets no answer is reported on stderr and makes the exit code 1; the figures are of the others.
    """
    import json

    from packline_client.cli.common import plain
    from packline_client.labelled import evaluate as measure

    with connected(timeout) as client:
        result = measure(client, name, data, jobs, complain)
    if as_json:
        typer.echo(json.dumps(plain(result), ensure_ascii=False))
    else:
        rows = [(m.name, f"{m.value:.4f}", f"{m.low:.4f}", f"{m.high:.4f}") for m in result.metrics]
        print_table(("METRIC", "VALUE", "LOW", "HIGH"), rows)
        typer.echo(
            f"{result.n} examples at {result.per_second:.2f} a second, read by {result.model_version}"
            + (f"; {result.failed} got no answer" if result.failed else "")
            + (f"; {result.bad_rows} rows of the data could not be used" if result.bad_rows else "")
        )
    if result.failed:
        raise typer.Exit(Exit.FAILED)
