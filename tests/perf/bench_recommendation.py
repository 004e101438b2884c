"""Recommenders chosen by themselves, beside tuned peers, judged over the whole catalogue: Recall@10 and NDCG@10.

`python tests/perf/bench_recommendation.py [--data beauty retail] [--seeds 3] [--minutes 20] [--json FILE]`.

- beauty: Amazon Beauty 5-core. Each user's last item is asked for; all before it is known, and the model is trained on
  it, from the parameters that every data set starts with. No pair of user and item occurs twice, so what a user had is
  never asked for and is not recommended (S3-Rec's convention, which its followers' figures share).
- retail: UCI Online Retail, lines with a customer and a positive quantity. The moment at which nine tenths of them have
  happened cuts the log; what each customer of before ordered first after it (one basket) is asked for, things that it
  had before included. Peers are tuned by the same held-out events of the first part as we choose by, and may add what a
  user had before (`recommendation_peers`). A second line of each judges what is new to its user, alone: what a user had
  is neither asked for nor recommended.

Recall is hits over what is asked for; intervals are 90 % bootstrap intervals over users. Memory is the process's own
peak until then.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from clocked import Context
from packline_core.bundle import seal
from packline_core.runtime import Runtime, create_session
from packline_core.stats import bootstrap_interval
from packline_core.task import Count, ExampleScore, Trial
from packline_recommendation.domain import RECALL, K
from packline_recommendation.layout import MODEL, read_settings
from packline_recommendation.training import export, search_space, train
from packline_recommendation.training.blending import Targets
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import ranks
from packline_recommendation.training.parts import Recommender
from packline_recommendation.training.validation import Validation, judged
from recommendation_data import Data, beauty, examples_of, retail
from recommendation_figures import Figures, Places, by_line, figures, lead_of
from recommendation_peers import Peers
from scipy import sparse

LENGTH = 200


@dataclass(frozen=True)
class Line:
    """One model of the table.

    Attributes:
        model: Its name.
        all: The mean over users.
        lines: The mean over all that is asked for, as the Pack's own metric counts it; none where that is the same.
        new: Over users, of what is new to its user alone; none where all is.
        minutes: That training took.
        note: For people.
        lead: Of our first seed over this one; none for ours.
    """

    model: str
    all: Figures
    lines: Figures | None
    new: Figures | None
    minutes: float
    note: str = ""
    lead: Figures | None = None


@dataclass(frozen=True)
class Test:
    """What is asked for.

    Attributes:
        asked: Histories and targets.
        had: bool (users, items): what each had, however long ago.
        new: bool (targets,): whether its user never had it.
    """

    asked: Validation
    had: sparse.csr_matrix
    new: np.ndarray


def test_of(data: Data) -> Test:
    """Every user with something held out."""
    users = np.unique(data.split.held_out.user).astype(np.int64)
    longest = int(np.diff(data.split.known.bounds).max())
    whole = judged(data.split, users, length=longest, seed=0)
    had = whole.given.matrix((whole.given.items > 0).astype(np.float32), len(data.split.known.items)).astype(np.bool_)
    new = ~np.asarray(had[whole.targets.rows, whole.targets.items], dtype=np.bool_).ravel()
    return Test(judged(data.split, users, length=LENGTH, seed=0), had, new)


def line_of(model: str, places: Places, test: Test, minutes: float, note: str = "") -> Line:
    rows = test.asked.targets.rows
    new = None if test.new.all() else figures(places.new[test.new], rows[test.new])
    several = len(rows) > len(test.asked.given)
    return Line(model, figures(places.all, rows), by_line(places.all, rows) if several else None, new, minutes, note)


def chunks(test: Test) -> Iterator[tuple[Histories, Targets, np.ndarray]]:
    """Histories, what is asked for, and bool (users, items) of what they had."""
    for begin in range(0, len(test.asked.given), 500):
        part = slice(begin, begin + 500)
        yield test.asked.given.of(part), test.asked.targets.between(begin, begin + 500), test.had[part].toarray()


def places_of(model: Recommender, test: Test, *, repeats: bool) -> Places:
    """Of a model that is not a bundle yet."""
    everything: list[np.ndarray] = []
    new: list[np.ndarray] = []
    for given, targets, had in chunks(test):
        scores = model.scores(given)
        shown = scores if repeats else without_history(scores, given)
        everything.append(ranks(shown, targets.rows, targets.items))
        new.append(ranks(np.where(had, -np.inf, scores), targets.rows, targets.items))
    return Places(np.concatenate(everything), np.concatenate(new))


def ours(data: Data, test: Test, seed: int, minutes: float, threads: int, folder: Path) -> tuple[Line, Places]:
    """Examples in, a proved bundle out, and its graph asked."""
    empty, bundle = folder / "start", folder / "bundle"
    for place in (empty, bundle):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    now = datetime.now(UTC)
    start = seal(empty, task="recommendation", base="popular", created_at=now, signature={}, references=())
    examples = examples_of(data)
    context = Context(folder, minutes * 60, threads)
    trained = train(Trial("popular", start, search_space("popular").start, seed), examples, context)
    spent = minutes - context.seconds_left / 60
    export(trained, bundle)
    print(*trained.notes, {name: round(value, 4) for name, value in trained.metrics.items()}, sep="\n", flush=True)
    repeats = read_settings(bundle).repeats
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
    session = create_session(bundle / MODEL, Runtime(threads=threads))
    length = read_settings(bundle).length
    # The bundle numbers the items that it knows; others cannot come out.
    ids = bundle_ids(bundle)
    number = {item: place for place, item in enumerate(ids)}
    known = np.array([number.get(item, -1) for item in data.split.known.items])
    there = np.flatnonzero(known >= 0)
    everything: list[np.ndarray] = []
    new: list[np.ndarray] = []
    for given, targets, had in chunks(test):
        events = np.where(given.items > 0, known[given.items - 1] + 1, 0)
        inputs = {"items": events[:, -length:], "weights": given.weights[:, -length:], "ages": given.ages[:, -length:]}
        for found, hidden in ((everything, None if repeats else had), (new, had)):
            allowed = np.ones((len(given), len(ids)), dtype=np.bool_)
            if hidden is not None:
                allowed[:, known[there]] = ~hidden[:, there]
            _, best = session.run(["scores", "indices"], {**inputs, "allowed": allowed, "k": np.array([K])})
            hit = best[targets.rows] == known[targets.items][:, None]
            found.append(np.where(hit.any(axis=1), hit.argmax(axis=1), K))
    places = Places(np.concatenate(everything), np.concatenate(new))
    return line_of(f"ours, seed {seed}", places, test, spent, f"{size:.0f} MB, {peak():.1f} GiB"), places


def peak() -> float:
    """GiB that the process took at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def bundle_ids(bundle: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [str(one) for one in pq.read_table(bundle / "items.parquet", columns=["id"])["id"].to_pylist()]


def new_items_line(data: Data, test: Test, places: Places) -> str:
    """How items did that nobody had before the cut; none of them has any popularity."""
    known = np.bincount(data.split.known.item, minlength=len(data.split.known.items))
    targets = test.asked.targets
    new = known[targets.items] == 0
    if not new.any():
        return "no item is new"
    hit = places.all[new] < K
    scores = [
        ExampleScore(str(row), str(row), {RECALL: Count(float(hit[own].sum()), int(own.sum()))})
        for row in np.unique(targets.rows[new])
        if (own := targets.rows[new] == row).any()
    ]
    value, low, high = bootstrap_interval(scores, RECALL)
    return (
        f"of {new.sum()} asked-for items that nobody had had, {value:.4f} [{low:.4f}, {high:.4f}] are among the first"
        f" {K}; by popularity none"
    )


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=("beauty", "retail"), default=["retail", "beauty"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", nargs="*", choices=("beauty", "retail"), default=["retail"])
    parser.add_argument("--folder", type=Path, help="keeps checkpoints, and goes on from those that lie there")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tables: dict[str, list[dict[str, object]]] = {}
    for name in arguments.data:
        data = {"beauty": beauty, "retail": retail}[name]()
        test = test_of(data)
        print(
            f"\n{name}: {len(data.split.known)} events known, {len(test.asked.given)} users asked, "
            f"{len(data.split.known.items)} items",
            flush=True,
        )
        lines = []
        firsts: list[Places] = []
        with tempfile.TemporaryDirectory() as temporary:
            place = arguments.folder or Path(temporary)
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                line, found = ours(data, test, seed, arguments.minutes, arguments.threads, place / f"{name}-{seed}")
                lines.append(line)
                firsts.append(found)
                show(line)
                print(new_items_line(data, test, found), flush=True)
            if name in arguments.peers:
                own = place / f"{name}-peers"
                tuned = Peers(
                    data.split.known,
                    length=LENGTH,
                    minutes=arguments.minutes,
                    threads=arguments.threads,
                    folder=own,
                )
                for peer in tuned.trained():
                    found = places_of(peer.model, test, repeats=peer.repeats)
                    line = line_of(peer.name, found, test, peer.minutes, peer.note)
                    lines.append(
                        replace(line, lead=lead_of(firsts[0], found, test.asked.targets.rows)) if firsts else line
                    )
                    show(lines[-1])
        tables[name] = [asdict(line) for line in lines]
        show_means([line for line in lines if line.model.startswith("ours")])
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1), encoding="utf8")
    return 0


def show(line: Line) -> None:
    for name, found in (
        (line.model, line.all),
        ("  line by line", line.lines),
        ("  new to the user", line.new),
        ("  ours ahead by", line.lead),
    ):
        if found:
            told = "  ".join(f"{value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in (found.recall, found.ndcg))
            print(f"{name:18} {told}  {line.minutes:5.1f} min  {line.note}", flush=True)


def show_means(own: Sequence[Line]) -> None:
    """Of the seeds."""
    for words, some in (
        ("", [line.all for line in own]),
        (", line by line", [line.lines for line in own if line.lines]),
        (", new to the user", [line.new for line in own if line.new]),
    ):
        if some:
            recall, ndcg = (float(np.mean([getattr(one, name)[0] for one in some])) for name in ("recall", "ndcg"))
            print(f"ours, mean of {len(some)} seeds{words}: Recall@{K} {recall:.4f}, NDCG@{K} {ndcg:.4f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
