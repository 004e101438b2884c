"""The models that recommenders are set beside: each family alone, tuned, with a tuned share of what a user had before.

Where users take the same things again, a model of what goes with what is at a loss without that share, and being ahead
of it would say nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clocked import Context
from packline_recommendation.domain import Log
from packline_recommendation.training.choosing import best_decay, few, part_ndcg
from packline_recommendation.training.families import ITSELF, LINEAR, Parameters, linear
from packline_recommendation.training.learning import Learner, Share
from packline_recommendation.training.neighbours import itself
from packline_recommendation.training.parts import Constant, Part, Recommender
from packline_recommendation.training.popularity import RECENCIES, popularity
from packline_recommendation.training.sequence import Network
from packline_recommendation.training.validation import Validation, validation

RIDGES = (0.2, 1.0, 5.0, 25.0)
NETWORKS = {"width 64, dropout 0.2": (64, 0.2), "width 128, dropout 0.3": (128, 0.3)}
SHARES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Weights of what a user had before, beside 1 for the model."""


@dataclass(frozen=True)
class Peer:
    """One of them, trained on all that is known.

    Attributes:
        name: For the table.
        model: What scores.
        repeats: Whether what a user had may come back.
        minutes: That tuning and training took.
        note: What came out of tuning.
    """

    name: str
    model: Recommender
    repeats: bool
    minutes: float
    note: str


class Peers:
    """Tunes on the held-out events that the recommender is chosen by, and trains again on all that is known.

    Args:
        log: What is known.
        length: Events of a history that are looked at.
        minutes: Of each training of a transformer.
        threads: CPU threads.
        folder: For checkpoints.
    """

    def __init__(self, log: Log, *, length: int, minutes: float, threads: int, folder: Path) -> None:
        self._log = log
        self._by: Validation = validation(log, length=length, seed=0)
        self._few = few(self._by)
        self._length, self._minutes, self._threads, self._folder = length, minutes, threads, folder
        # Without clock times every pair is another one in the data sets of this benchmark.
        self._repeats = log.timed
        self._own = best_decay(Part(ITSELF, itself(len(log.items))), self._by, repeats=True)

    def trained(self) -> Iterator[Peer]:
        """One after the other."""
        for name in ("popularity", *LINEAR, "transformer"):
            began = time.monotonic()
            tuned = (self._tuned(name, one) for one in settings_of(name))
            _, setting, part, share, repeats = max(tuned, key=lambda one: one[0])
            scorer = self._trained(name, setting, self._log).scorer
            parts = [Part(name, scorer, part.decay, part.rate), *([self._own] if share else [])]
            model = Recommender(parts, [1.0, share][: len(parts)], self._length)
            note = f"{setting}, decay {part.decay}, {share} of one's own" if self._repeats else setting
            yield Peer(name, model, repeats, (time.monotonic() - began) / 60, note)

    def _tuned(self, name: str, setting: str) -> tuple[float, str, Part, float, bool]:
        """NDCG, setting, part, the best share of what a user had before, and whether that may come back at all."""
        part = self._trained(name, setting, self._by.known)
        if name in LINEAR:
            part = best_decay(part, self._by, repeats=self._repeats)
        found = [(part_ndcg(part, self._few, repeats=False)[1], 0.0, False)]
        for share in SHARES if self._repeats else ():
            both = Recommender([part, self._own], [1.0, share], self._length)
            found.append((part_ndcg(both, self._few, repeats=True)[1], share, True))
        value, share, repeats = max(found)
        return value, setting, part, share, repeats

    def _trained(self, name: str, setting: str, log: Log) -> Part:
        value = float(setting.rsplit(maxsplit=1)[-1])
        if name == "popularity":
            return Part(name, Constant(popularity(log, value)))
        if name in LINEAR:
            parameters = Parameters(name, value, 64, 1, 0.2, 1e-3)
            return Part(name, linear(name, log, parameters, seed=0, threads=self._threads))
        return Part(name, self._network(setting, log))

    def _network(self, setting: str, log: Log) -> Network:
        width, dropout = NETWORKS[setting]
        place = self._folder / setting.replace(" ", "-")
        place.mkdir(parents=True, exist_ok=True)
        context = Context(place, self._minutes * 60, self._threads)
        no_text = np.zeros((len(log.items), 1), dtype=np.float32)
        learner = Learner(Parameters("transformer", 1.0, width, 1, dropout, 1e-3), no_text, 0, context)

        def judge(one: Network) -> float:
            return part_ndcg(Part("transformer", one), self._few, repeats=self._repeats)[1]

        share = Share(context, place / "share.json", 0.5, 0)
        network, learned = learner.choose(self._by.known, judge, share, (0, 50))
        if log is not self._by.known:
            network = learner.repeat(log, learned, Share(context, place / "again.json", 1.0, 0), (50, 100))
        return network


def settings_of(name: str) -> Sequence[str]:
    """What a family is tuned over."""
    if name == "popularity":
        return [f"recency {value}" for value in RECENCIES]
    if name == "transformer":
        return list(NETWORKS)
    return [f"ridge {value}" for value in RIDGES]
