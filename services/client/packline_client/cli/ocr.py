"""`packline ocr read`: documents in, text or JSON lines out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from packline_core.errors import Code, PacklineError

from packline_client.cli.app import new_app
from packline_client.cli.common import Exit, TimeoutOption, complain, connected, is_terminal

if TYPE_CHECKING:
    from packline_client.ocr import Document

app = new_app("Read documents with a Pack of task ocr.")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".pdf"})


class Format(StrEnum):
    """How text is printed."""

    TEXT = "text"
    JSONL = "jsonl"


@app.callback()
def group() -> None:
    """Keeps `read` a command of its own name."""


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(help="Images, PDFs, or folders of them.", show_default=False)],
    pack: Annotated[str, typer.Option("--pack", "-p", help="The Pack that reads.", show_default=False)],
    output: Annotated[
        Format, typer.Option("--format", "-f", help="text, or jsonl: one JSON object a page.")
    ] = Format.TEXT,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Documents in flight at once.")] = 4,
    timeout: TimeoutOption = 300.0,
) -> None:
    """Read documents and print their text.

    A file that cannot be read is reported on stderr and makes the exit code 1; the others go on.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from packline_client.flight import in_flight

    paths = list(expanded(files))
    failed = 0
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Text on a terminal shows by itself how far it is.
    hidden = not is_terminal() or sys.stdout.isatty()
    bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, disable=hidden)
    with connected(timeout) as client, bar:
        job = bar.add_task("reading", total=len(paths))
        for outcome in in_flight(lambda path: client.ocr.recognize(pack, path), paths, jobs):
            bar.advance(job)
            if outcome.value is not None:
                for line in rendered(outcome.item, outcome.value, output, titles=len(paths) > 1):
                    typer.echo(line)
            elif outcome.error is not None:
                if not about_one_file(outcome.error):
                    raise outcome.error
                failed += 1
                complain(f"{outcome.item}: {outcome.error.message}")
    if failed:
        complain(f"{failed} of {len(paths)} files could not be read")
        raise typer.Exit(Exit.FAILED)


def about_one_file(error: PacklineError) -> bool:
    """Whether other files may still be read: not where the Pack or the platform is missing."""
    return error.code != Code.UNAVAILABLE and (error.code != Code.NOT_FOUND or error.reason == "FILE_NOT_FOUND")


def expanded(paths: list[Path]) -> Iterator[Path]:
    """Files as given, and the documents below folders, in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        else:
            yield path


def rendered(path: Path, document: Document, output: Format, *, titles: bool) -> Iterator[str]:
    """The lines to print for one document."""
    for page in document.pages:
        if output is Format.JSONL:
            lines = [{"points": line.points, "text": line.text, "confidence": line.confidence} for line in page.lines]
            yield json.dumps({"image": str(path), "page": page.number, "lines": lines}, ensure_ascii=False)
            continue
        if titles or len(document.pages) > 1:
            yield f"== {path}, page {page.number}"
        yield page.text
