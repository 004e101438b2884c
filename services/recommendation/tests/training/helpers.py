"""Logs in which something is to be found, and the world of a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from packline_core.errors import Cancelled
from packline_core.task import Example
from packline_recommendation.domain import Log, sorted_log
from packline_recommendation.examples import Event, History, Query, history_example, item_example, next_example
from packline_recommendation.examples import Item as ListedItem

GROUP = 6


def planted(users: int = 150, groups: int = 8, *, events: int = 7, seed: int = 0, timed: bool = False) -> Log:
    """Users who stay within a group of items and go from one to the next in its ring, now and then astray."""
    random = np.random.default_rng(seed)
    count = groups * GROUP
    user, item, time = [], [], []
    for number in range(users):
        group, place = random.integers(groups), random.integers(GROUP)
        begin = 1_700_000_000 + int(random.integers(10_000_000))
        for step in range(int(random.integers(4, events + 1))):
            stray = random.random() < 0.1
            user.append(number)
            item.append(random.integers(count) if stray else group * GROUP + (place + step) % GROUP)
            time.append(begin + step * 500_000 if timed else step)
    return sorted_log(
        Log(
            np.array(user, dtype=np.int32),
            np.array(item, dtype=np.int32),
            np.array(time, dtype=np.int64),
            np.ones(len(user), dtype=np.float32),
            [f"u{number:04}" for number in range(users)],
            [f"i{number:04}" for number in range(count)],
            timed,
        )
    )


def examples_of(log: Log, *, texts: Mapping[str, str] | None = None, withheld: int = 0) -> list[Example]:
    """A log as an import makes it: the last event of the first `withheld` users is held back."""
    found = [item_example(ListedItem(item, text), "items.csv") for item, text in (texts or {}).items()]
    for number, user in enumerate(log.users):
        begin, end = log.bounds[number], log.bounds[number + 1]
        events = [
            Event(log.items[log.item[place]], "purchase", 1.0, int(log.time[place])) for place in range(begin, end)
        ]
        found.append(history_example(History(user, events[:-1], events[-1:]), "log.csv"))
        if number >= withheld:
            found.append(next_example(Query(user, events[:-1]), events[-1:], "log.csv"))
    return found


@dataclass(slots=True)
class World:
    """`packline_core.task.TrainContext`, with a clock that the test moves.

    Attributes:
        checkpoints: Its folder.
        seconds_left: Falls by `per_report` with each report.
        reports: What was told.
        stop_when: Ends the trial, as a user would who called the run off.
    """

    checkpoints: Path
    seconds_left: float = 600.0
    per_report: float = 0.0
    threads: int = 1
    reports: list[tuple[float, str]] = field(default_factory=list)
    stop_when: Callable[[str], bool] = lambda stage: False

    def report(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        self.reports.append((percent, stage))
        self.seconds_left -= self.per_report
        if self.stop_when(stage):
            raise Cancelled("the run was called off")
