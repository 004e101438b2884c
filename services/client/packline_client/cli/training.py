"""Data and learning: `import`, `correct`, `train`, `publish`, `history`, `approve`, `rollback`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from packline_core.bundle import MANIFEST
from packline_core.errors import InvalidInput, NotFound

from packline_client.cli.common import (
    Exit,
    NameArgument,
    Output,
    OutputOption,
    age,
    complain,
    connected,
    print_json,
    print_table,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packline_client.monitoring import VersionFigures
    from packline_client.training_types import DatasetVersion, Run, Version

VersionOption = Annotated[str, typer.Option(help="A version such as v3.", metavar="vN")]


def import_(
    name: NameArgument,
    path: Annotated[Path, typer.Argument(help="A folder or file of labelled examples.", show_default=False)],
    output: OutputOption = Output.TEXT,
) -> None:
    """Import labelled examples from a folder.

    A row that cannot be used is counted and reported on stderr; the rest is imported.
    """
    with connected() as client:
        result = client.training.import_dataset(name, path)
    if output is Output.JSON:
        print_json(result)
        return
    for row in result.bad_rows:
        say(f"left out: {row.source}{f', line {row.line}' if row.line else ''}: {row.reason}")
    if result.bad_row_count > len(result.bad_rows):
        say(f"left out: {result.bad_row_count - len(result.bad_rows)} more")
    typer.echo(
        f"{result.added} examples added, {result.replaced} replaced, {result.unchanged} known already, "
        f"{result.bad_row_count} left out"
    )
    if result.dataset:
        typer.echo(
            f"The dataset has {result.dataset.training_examples} examples to train on and "
            f"{result.dataset.golden_examples} kept for judging. Next: packline train {name} --wait"
        )


def correct(  # noqa: PLR0917 - a command's options
    name: NameArgument,
    prediction: Annotated[str, typer.Option(help="The answer that was wrong (its prediction_id).")] = "",
    truth: Annotated[str, typer.Option(help="File with the truth as JSON; - reads stdin.", metavar="FILE")] = "",
    page: Annotated[int, typer.Option(min=1, help="The page meant.")] = 1,
    data: Annotated[
        Path | None, typer.Option(help="A labelled folder: each document is read, its label is the correction.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Documents in flight at once.")] = 4,
) -> None:
    """Tell a Pack what the right answer is. The same correction given twice counts once."""
    if bool(data) == bool(prediction or truth) or bool(prediction) != bool(truth):
        raise InvalidInput("give either --prediction ID with --truth FILE, or --data FOLDER", field="prediction")
    with connected(300) as client:
        if data is None:
            text = sys.stdin.read() if truth == "-" else Path(truth).read_text("utf8")
            corrected = client.monitoring.correct(name, text, prediction_id=prediction, page=page)
            typer.echo(
                f"{name} has {corrected.corrections} corrections" + ("" if corrected.created else "; known already")
            )
            return
        from packline_client.labelled import correct_all

        done = correct_all(client, name, data, jobs, complain)
    typer.echo(f"{done.new} corrections taken in, {done.known} known already, {done.failed} failed")
    if done.failed or not done.new + done.known:
        raise typer.Exit(Exit.FAILED)


def train(
    name: NameArgument,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Stay and show the progress.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Train a new version from data and corrections."""
    with connected() as client:
        run = client.training.start_run(name)
        if wait:
            from packline_client.cli.progress import follow_run

            run = follow_run(client, run)
    if output is Output.JSON:
        print_json(run)
    elif not wait:
        typer.echo(f"run {run.run_id} {run.state}. Follow it: packline history {name}")
    else:
        typer.echo(_outcome(run))
    if wait and run.state != "succeeded":
        raise typer.Exit(Exit.FAILED)


def _outcome(run: Run) -> str:
    metrics = ", ".join(f"{key} {value:.4g}" for key, value in run.metrics.items())
    made = f" {run.version}" if run.version else ""
    return f"run {run.run_id} {run.state}{made}: {run.message or 'no message'}{f' ({metrics})' if metrics else ''}"


def publish(
    name: NameArgument,
    bundle: Annotated[Path, typer.Argument(help="The folder of a sealed bundle.", show_default=False)],
    output: OutputOption = Output.TEXT,
) -> None:
    """Register a bundle made elsewhere as a version. It goes through the gate like any other."""
    if not bundle.is_dir():
        raise NotFound(f"there is no folder {bundle}", reason="PATH_NOT_FOUND")
    if not (bundle / MANIFEST).is_file():
        raise InvalidInput(f"{bundle} is no sealed bundle: it has no {MANIFEST}", field="bundle")
    with connected() as client:
        version = client.training.publish(name, bundle)
    if output is Output.JSON:
        print_json(version)
    elif version.state == "registered":
        typer.echo(f"{version.version} is registered; the gate is next: packline describe pack {name}")
    else:
        typer.echo(f"{name} has that bundle already: {version.version} is {version.state}")


def history(
    name: NameArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many of each.")] = 20,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show versions, runs, data and decisions."""
    with connected() as client:
        versions = client.training.versions(name, limit)
        runs = client.training.runs(name, limit)
        datasets = client.training.datasets(name, limit)
        decisions = client.training.decisions(name, limit)
        figures = client.monitoring.compare(name, versions=[version.version for version in versions[:100]]).versions
    if output is Output.JSON:
        every = {"versions": versions, "figures": figures}
        print_json({**every, "runs": runs, "datasets": datasets, "decisions": decisions})
        return
    now = datetime.now(UTC)
    hits = {one.model_version: _hit_rate(one) for one in figures if one.hits}
    _section(
        "versions",
        ("VERSION", "STATE", "ORIGIN", "AGE", "GATE", "WHY", *(["HITS"] if hits else [])),
        [
            (v.version, v.state, v.run_id or v.origin, age(v.created_at, now), *_judged(v))
            + ((hits.get(v.version, ""),) if hits else ())
            for v in versions
        ],
    )
    _section(
        "runs",
        ("RUN", "KIND", "STATE", "AGE", "VERSION", "REASON", "OUTCOME"),
        [(r.run_id, r.kind, r.state, age(r.created_at, now), r.version, r.reason, r.message) for r in runs],
    )
    _section(
        "data",
        ("DATASET", "ORIGIN", "AGE", "TRAINING", "GOLDEN", "CORRECTIONS"),
        [(d.digest[:19], d.origin, age(d.created_at, now), *map(str, _sizes(d))) for d in datasets],
    )
    _section(
        "decisions",
        ("DECISION", "VERSION", "AGE", "REASON", "IN WORDS"),
        [(d.kind, d.version, age(d.at, now), d.reason, d.message) for d in decisions],
    )


def _section(what: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        print_table(header, rows)
    else:
        typer.echo(f"no {what} yet")
    typer.echo()


def _hit_rate(figures: VersionFigures) -> str:
    """How often users took something of its answers, for tasks that are told so."""
    rate = figures.hits.rate if figures.hits else None
    return f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%})" if rate else ""


def _judged(version: Version) -> tuple[str, str]:
    """The gate's outcome, and why the version is where it is."""
    gate = version.gate
    return (gate.outcome, version.reason or gate.reason) if gate else ("", version.reason)


def _sizes(dataset: DatasetVersion) -> tuple[int, int, int]:
    return dataset.training_examples, dataset.golden_examples, dataset.corrections


def approve(name: NameArgument, version: VersionOption = "") -> None:
    """Let a version that waits go on. Without --version the newest that waits."""
    with connected() as client:
        state = client.training.approve(name, version)
    typer.echo(f"{state.approved_version or version or 'the version'} is approved; see: packline describe pack {name}")


def rollback(name: NameArgument, to: VersionOption = "") -> None:
    """Go back to an earlier version. Without --to the previous one."""
    with connected() as client:
        state = client.training.rollback(name, to)
    typer.echo(f"{name} goes back to {state.rollback_to or to}; see: packline describe pack {name}")
