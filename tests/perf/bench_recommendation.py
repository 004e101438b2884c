"""Recommenders chosen by themselves, beside tuned peers, judged over the whole catalogue: Recall@10 and NDCG@10.

`python tests/perf/bench_recommendation.py [--data beauty retail] [--seeds 3] [--minutes 20] [--json FILE]`.

- beauty: Amazon Beauty 5-core. Each user's last item is asked for; all before it is known, and the model is trained on
  it, from the parameters that every data set starts with. No pair of user and item occurs twice, so what a user had is
  never asked for and is not recommended (S3-Rec's convention, which its followers' figures share).
- retail: UCI Online Retail, lines with a customer and a positive quantity. The moment at which nine tenths of them have
  happened cuts the log; what each customer of before ordered first after it (one basket) is asked for, things that it
  had before included. Peers are tuned by the same held-out events of the first part as we choose by.

Recall is hits over what is asked for; intervals are 90 % bootstrap intervals over users.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from clocked import Context
from packline_core.bundle import seal
from packline_core.runtime import Runtime, create_session
from packline_core.stats import bootstrap_interval
from packline_core.task import Count, Example, ExampleScore, Trial
from packline_recommendation.domain import NDCG, RECALL, K, Log, Split, leave_last_out, sorted_log, split_by_time
from packline_recommendation.examples import Event, History, Item, history_example, item_example
from packline_recommendation.layout import MODEL, read_settings
from packline_recommendation.training import export, search_space, train
from packline_recommendation.training.choosing import best_decay, few, part_ndcg, without_history
from packline_recommendation.training.families import LINEAR, Parameters, linear
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import ranks
from packline_recommendation.training.learning import Learner, Share
from packline_recommendation.training.parts import Constant, Part
from packline_recommendation.training.popularity import RECENCIES, popularity
from packline_recommendation.training.sequence import Network
from packline_recommendation.training.validation import Validation, judged, validation

SHARED = Path(os.environ.get("PACKLINE_SHARED_DATA", "../shared/data"))
LENGTH = 200
RIDGES = (0.2, 1.0, 5.0)
NETWORKS = {"width 64, dropout 0.2": (64, 0.2), "width 128, dropout 0.3": (128, 0.3)}


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    model: str
    recall: tuple[float, float, float]
    ndcg: tuple[float, float, float]
    minutes: float
    note: str = ""


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
    """What is known, as an import makes it; the items' texts are known beforehand, as a shop knows its own."""
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


def asked(data: Data) -> Validation:
    """The test: every user with something held out."""
    return judged(data.split, np.unique(data.split.held_out.user).astype(np.int64), length=LENGTH, seed=0)


def line_of(model: str, places: np.ndarray, test: Validation, minutes: float, note: str = "") -> Line:
    recall, ndcg = by_user(places, test.targets.rows, len(test.given))
    scores = [
        ExampleScore(str(row), str(row), {RECALL: Count(float(one), 1), NDCG: Count(float(other), 1)})
        for row, (one, other) in enumerate(zip(recall, ndcg, strict=True))
    ]
    return Line(model, *(tuple(bootstrap_interval(scores, name)) for name in (RECALL, NDCG)), minutes, note)


def by_user(places: np.ndarray, rows: np.ndarray, users: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall@10 and NDCG@10 of each user; the ideal of NDCG puts as many of what is asked for first as fit."""
    hit = places < K
    counts = np.bincount(rows, minlength=users)
    gains = np.bincount(rows, np.where(hit, 1 / np.log2(places + 2), 0), minlength=users)
    ideal = np.concatenate([[0.0], (1 / np.log2(np.arange(K) + 2)).cumsum()])
    return np.bincount(rows, hit, minlength=users) / counts, gains / ideal[np.minimum(counts, K)]


def chunks(test: Validation) -> Iterator[tuple[Histories, np.ndarray, np.ndarray]]:
    for begin in range(0, len(test.given), 500):
        part = test.targets.between(begin, begin + 500)
        yield test.given.of(slice(begin, begin + 500)), part.rows, part.items


def places_of(part: Part, test: Validation, *, repeats: bool) -> np.ndarray:
    found = []
    for given, rows, items in chunks(test):
        scores = part.scores(given)
        found.append(ranks(scores if repeats else without_history(scores, given), rows, items))
    return np.concatenate(found)


def ours(
    data: Data, test: Validation, seed: int, minutes: float, threads: int, folder: Path
) -> tuple[Line, np.ndarray]:
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
    ids = [str(one) for one in bundle_ids(bundle)]
    number = {item: place for place, item in enumerate(ids)}
    known = np.array([number.get(item, -1) for item in data.split.known.items])
    found = []
    for given, rows, items in chunks(test):
        events = np.where(given.items > 0, known[given.items - 1] + 1, 0)
        allowed = np.ones((len(given), len(ids)), dtype=np.bool_)
        if not repeats:
            had, columns = np.nonzero(events)
            allowed[had, events[had, columns] - 1] = False
        inputs = {"items": events[:, -length:], "weights": given.weights[:, -length:], "ages": given.ages[:, -length:]}
        _, best = session.run(["scores", "indices"], {**inputs, "allowed": allowed, "k": np.array([K])})
        hit = best[rows] == known[items][:, None]
        found.append(np.where(hit.any(axis=1), hit.argmax(axis=1), K))
    places = np.concatenate(found)
    return line_of(f"ours, seed {seed}", places, test, spent, f"{size:.0f} MB"), places


def bundle_ids(bundle: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [str(one) for one in pq.read_table(bundle / "items.parquet", columns=["id"])["id"].to_pylist()]


def peers(data: Data, test: Validation, minutes: float, threads: int, folder: Path) -> Iterator[Line]:
    """Each family alone, tuned on the validation slice and trained again on all that is known."""
    log = data.split.known
    by = validation(log, length=LENGTH, seed=0)
    repeats = log.timed
    for name in ("popularity", *LINEAR, "transformer"):
        began = time.monotonic()
        judge = few(by)
        best: tuple[float, str, Part] | None = None
        for setting in settings_of(name):
            part = trained_on(name, setting, by, by.known, threads, folder, minutes)
            if name in LINEAR:
                part = best_decay(part, by, repeats=repeats)
            value = part_ndcg(part, judge, repeats=repeats)[1]
            if best is None or value > best[0]:
                best = (value, setting, part)
        assert best
        again = trained_on(name, best[1], by, log, threads, folder, minutes)
        part = Part(name, again.scorer, best[2].decay, best[2].rate)
        places = places_of(part, test, repeats=repeats)
        yield line_of(name, places, test, (time.monotonic() - began) / 60, f"{best[1]}, decay {part.decay}")


def settings_of(name: str) -> Sequence[str]:
    """What a family is tuned over."""
    if name == "popularity":
        return [f"recency {value}" for value in RECENCIES]
    if name == "transformer":
        return list(NETWORKS)
    return [f"ridge {value}" for value in RIDGES]


def trained_on(name: str, setting: str, by: Validation, log: Log, threads: int, folder: Path, minutes: float) -> Part:
    """A family with one setting, trained on what is known or on all of the log."""
    value = float(setting.rsplit(maxsplit=1)[-1])
    if name == "popularity":
        return Part(name, Constant(popularity(log, value)))
    if name in LINEAR:
        return Part(name, linear(name, log, Parameters(name, value, 64, 1, 0.2, 1e-3), seed=0, threads=threads))
    width, dropout = NETWORKS[setting]
    place = folder / setting.replace(" ", "-")
    place.mkdir(parents=True, exist_ok=True)
    context = Context(place, minutes * 60, threads)
    no_text = np.zeros((len(log.items), 1), dtype=np.float32)
    learner = Learner(Parameters(name, 1.0, width, 1, dropout, 1e-3), no_text, 0, context)

    def judge(one: Network) -> float:
        return part_ndcg(Part(name, one), few(by), repeats=log.timed)[1]

    network, learned = learner.choose(by.known, judge, Share(context, place / "share.json", 0.5, 0), (0, 50))
    if log is not by.known:
        network = learner.repeat(log, learned, Share(context, place / "again.json", 1.0, 0), (50, 100))
    return Part(name, network)


def new_items_line(data: Data, test: Validation, places: np.ndarray) -> str:
    """How items did that nobody had before the cut."""
    known = np.bincount(data.split.known.item, minlength=len(data.split.known.items))
    new = known[test.targets.items] == 0
    if not new.any():
        return "no item is new"
    return (
        f"of {new.sum()} asked-for items that nobody had had, {np.mean(places[new] < K):.4f} are among the first {K};"
        " by popularity none"
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
        test = asked(data)
        print(
            f"\n{name}: {len(data.split.known)} events known, {len(test.given)} users asked, "
            f"{len(data.split.known.items)} items",
            flush=True,
        )
        lines = []
        with tempfile.TemporaryDirectory() as temporary:
            place = arguments.folder or Path(temporary)
            for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
                line, found = ours(data, test, seed, arguments.minutes, arguments.threads, place / f"{name}-{seed}")
                lines.append(line)
                show(line)
                print(new_items_line(data, test, found), flush=True)
            if name in arguments.peers:
                for line in peers(data, test, arguments.minutes, arguments.threads, place / f"{name}-peers"):
                    lines.append(line)
                    show(line)
        tables[name] = [asdict(line) for line in lines]
        own = [line for line in lines if line.model.startswith("ours")]
        if not own:
            continue
        means = [float(np.mean([getattr(line, figure)[0] for line in own])) for figure in ("recall", "ndcg")]
        print(f"ours, mean of {len(own)} seeds: Recall@{K} {means[0]:.4f}, NDCG@{K} {means[1]:.4f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1), encoding="utf8")
    return 0


def show(line: Line) -> None:
    figures = "  ".join(f"{value:.4f} [{low:.4f}, {high:.4f}]" for value, low, high in (line.recall, line.ndcg))
    print(f"{line.model:16} {figures}  {line.minutes:5.1f} min  {line.note}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
