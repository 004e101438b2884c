"""`make demo`: one Pack from its first page to a better model, and a report of it, with no input from the user.

The steps are those of the packline command, so that each can be repeated by hand; what runs side by side (live traffic
during training and rollout) goes through the Python SDK.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from packline_client import Client
from packline_client.training_types import PackState, Run, RunKind, RunState

from examples.ocr.demo.papers import HERE, Paper, Papers, demo_papers, papers_of
from examples.ocr.demo.platform import MemoryMeter, Stopwatch, packline
from examples.ocr.demo.safeguards import Users, bad_candidate, regressing_version, wait_for
from examples.ocr.demo.scoring import Read, read_papers
from examples.ocr.demo.spoil import spoil
from examples.ocr.demo.story import timeline
from examples.ocr.demo.traffic import LiveTraffic
from examples.ocr.report import to_html
from examples.ocr.report.facts import Facts, Learning, Moment, PageFacts, Safeguard, Timeline, Traffic

PACK, UNGATED = "delivery-notes", "ungated"
NOISE = 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """The second half of the demo."""

    learning: Learning
    traffic: Traffic
    after: Read
    safeguards: tuple[Safeguard, ...]
    timelines: tuple[Timeline, ...]


def main() -> None:
    """Runs the demo and writes its report."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--data", type=Path, help="your own folder of documents, with labels or without")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="where state and report go")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    os.environ["PACKLINE_HOME"] = str(out / "home")
    os.environ.setdefault("NO_COLOR", "1")
    papers = papers_of(arguments.data.resolve()) if arguments.data else demo_papers()
    if not papers.held_out:
        raise SystemExit(f"{arguments.data} holds no document that can be read: JPEG, PNG, TIFF, BMP, WebP or PDF")
    packline("down")
    shutil.rmtree(out / "home", ignore_errors=True)
    with MemoryMeter(out / "home") as memory:
        try:
            report = run(papers, out)
        finally:
            packline("down")
    print(f"\nPeak memory of all processes: {memory.peak / 2**30:.1f} GiB (PSS)")
    print(f"The report: {report}")


def run(papers: Papers, out: Path) -> Path:
    """The demo on a platform of its own; returns the report's path."""
    watch, started_at = Stopwatch(), datetime.now(UTC)
    packline("up", "--detach")
    packline("apply", "-f", str(HERE / "pack-demo.yaml"), "--wait")
    moments = [Moment(datetime.now(UTC), "serving", f"{PACK} answers its first calls.")]
    print(f"  from nothing to a Pack that answers: {watch.seconds:.0f} s")
    with Client(timeout=120) as client:
        say(f"Reading {len(papers.held_out)} documents that nothing will be learned from")
        before = read_papers(client, PACK, papers.held_out, "before")
        tell(before)
        learned = learn(client, papers, started_at, moments) if papers.corrected else None
    facts = Facts(
        pack=PACK,
        made_at=datetime.now(UTC),
        seconds=watch.seconds,
        machine=f"{os.cpu_count()} CPU cores, no GPU used",
        data_note=papers.note,
        pages=page_facts(papers.held_out, before, learned.after if learned else None),
        before=before.score,
        after=learned.after.score if learned else None,
        learning=learned.learning if learned else None,
        traffic=learned.traffic if learned else None,
        timelines=learned.timelines if learned else (),
        safeguards=learned.safeguards if learned else (),
    )
    report = out / "report.html"
    report.write_text(to_html(facts), encoding="utf8")
    print(f"\nThe demo took {watch.seconds / 60:.1f} minutes.")
    return report


def learn(client: Client, papers: Papers, started_at: datetime, moments: list[Moment]) -> Learned:
    """Corrections, training, gate, rollout under traffic; then the two bad versions."""
    say(f"Correcting {len(papers.corrected)} documents, as users do; the rest happens by itself")
    with LiveTraffic(client, PACK, papers.corrected, pause=0.5) as traffic:
        give_corrections(client, papers.corrected)
        corrected = Stopwatch()
        message = f"Users have corrected {len(papers.corrected)} pages."
        moments.append(Moment(datetime.now(UTC), "correction", message))
        if not trains(client):
            packline("train", PACK, "--wait")
        promoted = wait_for("a new active version", 600, lambda: promoted_state(client))
        seconds = corrected.seconds if promoted else None
        print(f"  from the last correction to the new active version: {corrected.seconds:.0f} s")
    packline("describe", "pack", PACK)
    figures = traffic.figures
    print(f"  calls during all this: {figures.calls}, failed: {figures.failed}")
    say("Reading the same documents again")
    after = read_papers(client, PACK, papers.held_out, "after")
    tell(after)
    say("Publishing a spoiled version: the gate should refuse it")
    good = client.training.versions(PACK)[-1]
    with tempfile.TemporaryDirectory() as work:
        spoiled = Path(work) / "spoiled"
        spoil(Path(urlsplit(good.uri).path), spoiled, NOISE)
        safeguards = [bad_candidate(client, PACK, spoiled)]
        print(f"  {safeguards[0].happened}")
        say("The same version in a Pack without a gate: monitoring should see it, and it should be rolled back")
        packline("apply", "-f", str(HERE / "pack-ungated.yaml"), "--wait")
        users = Users(client, UNGATED)
        with LiveTraffic(client, UNGATED, papers.corrected, pause=0.1, answered=users.answered):
            safeguards.append(regressing_version(client, UNGATED, spoiled, lambda: users.corrections))
        print(f"  {safeguards[1].happened}")
    timelines = (timeline(client, PACK, started_at, moments), timeline(client, UNGATED, started_at))
    return Learned(learning(client, len(papers.corrected), seconds), figures, after, tuple(safeguards), timelines)


def give_corrections(client: Client, papers: Sequence[Paper]) -> None:
    """Gives each paper's label as the correction of what the Pack reads on it."""
    from packline_client.labelled import correct_examples

    done = correct_examples(client, PACK, [paper.example for paper in papers if paper.example], 2, print)
    print(f"  {done.new} corrections taken in")


def trains(client: Client) -> bool:
    """Whether the corrections were enough for training to begin by itself (looked at for half a minute)."""
    state = wait_for("training", 30, lambda: client.training.pack(PACK).state if train_runs(client) else None)
    return state is not None


def train_runs(client: Client) -> list[Run]:
    """Training runs, newest first."""
    return [run for run in client.training.runs(PACK) if run.kind is RunKind.TRAIN]


def promoted_state(client: Client) -> PackState | None:
    """The Pack's state once a version after v1 is active, or nothing more will come."""
    state = client.training.pack(PACK).state
    return state if state and state.active and state.active.version != "v1" else None


def learning(client: Client, corrected: int, seconds_to_active: float | None) -> Learning:
    """What the registry says of the training run."""
    done = next((run for run in train_runs(client) if run.state is RunState.SUCCEEDED), None)
    seconds = (done.ended_at - done.started_at).total_seconds() if done and done.ended_at and done.started_at else 0.0
    datasets = client.training.datasets(PACK)
    return Learning(corrected, datasets[0].golden_examples if datasets else 0, seconds, seconds_to_active)


def page_facts(papers: Sequence[Paper], before: Read, after: Read | None) -> tuple[PageFacts, ...]:
    """The report's pages."""
    second = after.readings if after else [None] * len(papers)
    return tuple(
        PageFacts(paper.image, first, then, paper.truth)
        for paper, first, then in zip(papers, before.readings, second, strict=True)
    )


def say(text: str) -> None:
    """A headline."""
    print(f"\n== {text}", flush=True)


def tell(read: Read) -> None:
    """A score in a line."""
    if read.score is None:
        print("  they have no labels, so they are not scored")
        return
    cer = read.score.cer
    print(
        f"  {read.score.model_version}: {cer.value:.2%} of the characters read wrongly "
        f"(90 % interval {cer.low:.2%} to {cer.high:.2%}), {read.score.pages_per_second:.1f} pages a second"
    )


if __name__ == "__main__":
    main()
