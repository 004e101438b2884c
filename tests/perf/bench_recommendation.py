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
import gzip
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from clocked import Context
from packline_core.bundle import seal
from packline_core.runtime import Runtime, create_session
from packline_core.stats import bootstrap_interval, paired_difference
from packline_core.task import Count, Example, ExampleScore, Trial
from packline_recommendation.domain import NDCG, RECALL, K, Log, Split, leave_last_out, sorted_log, split_by_time
from packline_recommendation.examples import Event, History, Item, history_example, item_example
from packline_recommendation.layout import MODEL, read_settings
from packline_recommendation.training import export, search_space, train
from packline_recommendation.training.blending import Targets
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import ranks
from packline_recommendation.training.parts import Recommender
from packline_recommendation.training.validation import Validation, judged
from recommendation_peers import Peers
from scipy import sparse

SHARED = Path(os.environ.get("PACKLINE_SHARED_DATA", "../shared/data"))
LENGTH = 200


@dataclass(frozen=True)
class Figures:
    """Value and 90 % interval of each."""

    recall: tuple[float, float, float]
    ndcg: tuple[float, float, float]


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
class Places:
    """Where what is asked for was found, int64 (targets,) each: among all, and with what its user had left out."""

    all: np.ndarray
    new: np.ndarray


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


@dataclass(frozen=True)
class Data:
    """A data set, cut."""

    name: str
    split: Split
    texts: Mapping[str, str]


def beauty() -> Data:
    rows = np.loadtxt(SHARED / "rec_amazon_beauty" / "interactions.tsv", skiprows=1, dtype=np.int64)
    return Data("beauty", leave_last_out(log_of(rows[:, 0], rows[:, 1], rows[:, 2], timed=False)), {})


def retail() -> Data:
    folder = SHARED / "rec_online_retail_uci"
    with gzip.open(folder / "interactions.tsv.gz", "rt", encoding="utf8") as stream:
        rows = np.loadtxt(stream, skiprows=1, delimiter="\t", usecols=(0, 1, 2, 3), dtype=np.int64)
    rows = rows[(rows[:, 0] >= 0) & (rows[:, 3] > 0)]
    lines = (folder / "items.tsv").read_text(encoding="utf8").splitlines()[1:]
    texts = dict(line.split("\t", 1) for line in lines)
    return Data("retail", split_by_time(log_of(rows[:, 0], rows[:, 1], rows[:, 2], timed=True), 0.1), texts)


def log_of(user: np.ndarray, item: np.ndarray, moment: np.ndarray, *, timed: bool) -> Log:
    users, user = np.unique(user, return_inverse=True)
    items, item = np.unique(item, return_inverse=True)
    return sorted_log(
        Log(
            user.astype(np.int32),
            item.astype(np.int32),
            moment,
            np.ones(len(user), dtype=np.float32),
            [str(one) for one in users],
            [str(one) for one in items],
            timed,
        )
    )


def examples_of(data: Data) -> list[Example]:
    """What is known, as an import makes it, and the list of all items that anybody of the log ever takes.

    A shop knows what it will sell before it does. The data set's own list has stock notes in it ("water damage").
    """
    log = data.split.known
    bounds = log.bounds
    found = [item_example(Item(item, data.texts.get(item, "")), "items") for item in (log.items if data.texts else [])]
    for user, name in enumerate(log.users):
        part = slice(bounds[user], bounds[user + 1])
        rows = zip(log.item[part].tolist(), log.weight[part].tolist(), log.time[part].tolist(), strict=True)
        events = [Event(log.items[item], "purchase", weight, moment) for item, weight, moment in rows]
        if events:
            found.append(history_example(History(name, events), "log"))
    return found


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


def figures(places: np.ndarray, rows: np.ndarray) -> Figures:
    """Over the users that something is asked of."""
    scores = scores_of(places, rows)
    return Figures(bootstrap_interval(scores, RECALL), bootstrap_interval(scores, NDCG))


def lead_of(ours: Places, peer: Places, test: Test) -> Figures:
    """What we are ahead by, over users, each with the same for both."""
    rows = test.asked.targets.rows
    both = scores_of(ours.all, rows), scores_of(peer.all, rows)
    recall, ndcg = (paired_difference(both[1], both[0], metric).difference for metric in (RECALL, NDCG))
    return Figures(recall, ndcg)


def scores_of(places: np.ndarray, rows: np.ndarray) -> list[ExampleScore]:
    """Each user's."""
    recall, ndcg = by_user(places, np.unique(rows, return_inverse=True)[1])
    return [
        ExampleScore(str(row), str(row), {RECALL: Count(float(one), 1), NDCG: Count(float(other), 1)})
        for row, (one, other) in enumerate(zip(recall, ndcg, strict=True))
    ]


def by_line(places: np.ndarray, rows: np.ndarray) -> Figures:
    """Every line of a basket is a prediction of its own; intervals are over users all the same."""
    hit = places < K
    counts = np.bincount(rows)
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0))
    scores = [
        ExampleScore(str(row), str(row), {RECALL: Count(hits, int(of)), NDCG: Count(gain, int(of))})
        for row, (hits, gain, of) in enumerate(zip(np.bincount(rows, hit), gains, counts, strict=True))
    ]
    return Figures(bootstrap_interval(scores, RECALL), bootstrap_interval(scores, NDCG))


def by_user(places: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall@10 and NDCG@10 of each user; the ideal of NDCG puts as many of what is asked for first as fit."""
    hit = places < K
    counts = np.bincount(rows)
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0))
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(K) + 2)).cumsum()])
    return np.bincount(rows, hit) / counts, gains / ideal[np.minimum(counts, K)]


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
                    lines.append(replace(line, lead=lead_of(firsts[0], found, test)) if firsts else line)
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
