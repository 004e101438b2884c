"""The data sets that recommenders are judged on, each cut into what is known and what is asked for."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from packline_core.task import Example
from packline_recommendation.domain import Log, Split, leave_last_out, sorted_log, split_by_time
from packline_recommendation.examples import Event, History, Item, history_example, item_example

SHARED = Path(os.environ.get("PACKLINE_SHARED_DATA", "../shared/data"))


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
