"""The course of a trial: every family is trained on what held-out events leave, weighed by them, and trained on all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from packline_core.task import TrainContext

from packline_recommendation.domain import NDCG, RECALL, Items, Log
from packline_recommendation.training.blending import Candidates, candidates, fit_weights
from packline_recommendation.training.choosing import best_decay, best_popularity, few, part_ndcg
from packline_recommendation.training.factors import text_vectors
from packline_recommendation.training.families import (
    BLEND,
    ITSELF,
    POPULARITY,
    TEXT,
    TEXT_WIDTH,
    TRANSFORMER,
    Parameters,
    dense_items,
    linear,
    text_factors,
)
from packline_recommendation.training.histories import Histories, histories
from packline_recommendation.training.learning import Learned, Learner, Share
from packline_recommendation.training.parts import Constant, NewItems, Part, Recommender, new_items
from packline_recommendation.training.popularity import popularity
from packline_recommendation.training.saved import Linear, saved_linear
from packline_recommendation.training.unseen import best_places, placed
from packline_recommendation.training.validation import Validation, validation

_LENGTHS = (10, 200)
_SCORES = 120_000_000  # of each part, that families are weighed by
_WEIGHERS = (300, 6000)  # histories
_PLACERS = (300, 1500)  # histories, that new items are placed by
_REPEATED = 0.01  # share of held-out items that the user had, below which nobody is offered them again
_WEIGHING = 0.5  # of the time in which decays were chosen, which took eight looks
_RESERVE = 10.0  # seconds to write results in
_LINEAR_SHARE = 0.4  # of a trial's time, after which no other linear family is begun
_MORE = "a larger training.budget.maxMinutes gives more"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What came out of a trial.

    Attributes:
        recommender: Trained on the whole log.
        repeats: Whether items that a user has may come back.
        recency: Of popularity; see `popularity`.
        metrics: On held-out events, before the training on the whole log.
        notes: For people.
    """

    recommender: Recommender
    repeats: bool
    recency: float
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


class Selection:
    """One trial's training.

    Args:
        parameters: The trial's.
        log: What to learn from.
        items: Texts, in the order of the log's items.
        seed: Of all chance.
        context: Time, threads, checkpoints, progress.
    """

    def __init__(self, parameters: Parameters, log: Log, items: Items, seed: int, context: TrainContext) -> None:
        self.parameters = parameters
        self._log = log
        self._seed = seed
        self._context = context
        self._length = int(np.clip(np.quantile(np.diff(log.bounds), 0.95), *_LENGTHS))
        self._text = text_vectors(items.texts, TEXT_WIDTH, seed)
        self._learner = Learner(parameters, self._text, seed, context)
        self._dense = dense_items(context.seconds_left)
        self._notes: list[str] = []
        self._seconds: dict[str, float] = {}
        self._looking = 0.0

    def run(self) -> Chosen:
        """Chooses and trains.

        Raises:
            InvalidInput: Nothing can be held out.
            Cancelled: The run was called off.
        """
        by = validation(self._log, length=self._length, seed=self._seed)
        by = by.some(int(np.clip(_SCORES // len(self._log.items), *_WEIGHERS)))
        repeats = repeated_share(by) >= _REPEATED
        recency = best_popularity(by, repeats=repeats)
        parts = [Part(POPULARITY, Constant(popularity(by.known, recency))), *self._linear_parts(by, repeats=repeats)]
        # The linear families are trained once more on the whole log, which is a little longer.
        # Weighing looks twice at all held-out events, where choosing a decay looked at a few of them.
        weighing = _WEIGHING * self._looking * len(by.given) / len(few(by).given)
        reserve = 1.3 * sum(self._seconds.values()) + weighing + 2 * _RESERVE
        learned = None
        if self.parameters.transformer:
            part, learned = self._transformer(by, reserve, repeats=repeats)
            parts.append(part)
        self._context.report(56, "weighing the families", {})
        found, repeats = self._candidates(parts, by, repeats=repeats)
        weights = fit_weights(found)
        metrics = _metrics(found, parts, weights)
        kept = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
        places = None
        if new := self._new(by.known):
            blend = Recommender([part for part, _ in kept], [weight for _, weight in kept], self._length)
            places = best_places(blend, new, by, repeats=repeats)
        self._tell(by, kept, metrics)
        again = [self._again(part, recency, learned) for part, _ in kept]
        whole = Recommender(again, [weight for _, weight in kept], self._length)
        if new := self._new(self._log):
            whole = replace(whole, new=placed(places, whole, new, self._some_users(), repeats=repeats))
        return Chosen(whole, repeats, recency, metrics, tuple(self._notes))

    def _new(self, log: Log) -> NewItems | None:
        return new_items(self._text, np.bincount(log.item, minlength=len(log.items)).astype(np.int64))

    def _some_users(self) -> Histories:
        """Those whom new items are placed by."""
        log = self._log
        users = np.random.default_rng(self._seed).permutation(np.flatnonzero(np.diff(log.bounds)))
        most = int(np.clip(_SCORES // len(log.items), *_PLACERS))
        return histories(log, users[:most].astype(np.int64), self._length)

    def _linear_parts(self, by: Validation, *, repeats: bool) -> list[Part]:
        """The linear families on what is known, each with the decay that is best."""
        parts: list[Part] = []
        names = [*([ITSELF] if repeats else []), *self.parameters.linear]
        slot = Share(self._context, self._context.checkpoints / "linear.json", _LINEAR_SHARE, 0)
        for place, name in enumerate(names):
            if slot.done() >= 1 and place:
                self._notes.append(f"There was no time for {' and '.join(names[place:])}; {_MORE}.")
                break
            self._context.report(1 + 14 * place / len(names), f"training {name}", {})
            began = time.monotonic()
            scorer = self._linear(name, by.known, "chosen")
            self._seconds[name] = time.monotonic() - began
            began = time.monotonic()
            parts.append(best_decay(Part(name, scorer), by, repeats=repeats))
            self._looking += time.monotonic() - began
        if self.parameters.family == BLEND and self._text.any():
            parts.append(best_decay(Part(TEXT, text_factors(self._text)), by, repeats=repeats))
        return parts

    def _transformer(self, by: Validation, reserve: float, *, repeats: bool) -> tuple[Part, Learned]:
        some = few(by)
        slot = Share(self._context, self._context.checkpoints / "choosing.json", 0.5, reserve)
        network, learned = self._learner.choose(
            by.known, lambda one: part_ndcg(Part(TRANSFORMER, one), some, repeats=repeats)[1], slot, (15, 55)
        )
        if slot.done() >= 1:
            self._notes.append(f"The time was enough for {learned.planned} epochs of the transformer; {_MORE}.")
        return Part(TRANSFORMER, network), learned

    def _candidates(self, parts: Sequence[Part], by: Validation, *, repeats: bool) -> tuple[Candidates, bool]:
        """What to weigh by, and whether it is better to let items come back, where that is a question at all."""
        without = candidates(parts, by.given, by.targets, repeats=False)
        if not repeats:
            return without, False
        found = candidates(parts, by.given, by.targets, repeats=True)
        better = found.ndcg(fit_weights(found)) > without.ndcg(fit_weights(without))
        return (found, True) if better else (without, False)

    def _again(self, part: Part, recency: float, learned: Learned | None) -> Part:
        """The same part, trained on the whole log."""
        if part.name == TEXT:
            return part
        if part.name == POPULARITY:
            return replace(part, scorer=Constant(popularity(self._log, recency)))
        if part.name == TRANSFORMER and learned:
            slot = Share(self._context, self._context.checkpoints / "repeating.json", 1.0, _RESERVE)
            return replace(part, scorer=self._learner.repeat(self._log, learned, slot, (65, 95)))
        self._context.report(60, f"training {part.name} on everything", {})
        if self._context.seconds_left < _RESERVE + 2 * self._seconds[part.name]:
            self._notes.append(f"There was no time to train {part.name} again with the newest events; {_MORE}.")
            return part
        return replace(part, scorer=self._linear(part.name, self._log, "whole"))

    def _linear(self, name: str, log: Log, use: str) -> Linear:
        def make() -> Linear:
            return linear(name, log, self.parameters, seed=self._seed, threads=self._context.threads, dense=self._dense)

        return saved_linear(self._context.checkpoints, f"{use}-{name}", make)

    def _tell(self, by: Validation, kept: Sequence[tuple[Part, float]], metrics: Mapping[str, float]) -> None:
        total = sum(weight for _, weight in kept)
        shares = ", ".join(f"{part.name} {weight / total:.0%}" for part, weight in kept)
        how = "next after one moment in time" if by.by_time else "last"
        self._notes.append(f"Chosen by what {len(by.given)} users took {how}: NDCG@10 {metrics[NDCG]:.4f} by {shares}.")


def repeated_share(by: Validation) -> float:
    """Share of held-out items that are in their user's history."""
    had = (by.given.items[by.targets.rows] == by.targets.items[:, None] + 1).any(axis=1)
    return float(had.mean())


def _metrics(found: Candidates, parts: Sequence[Part], weights: Sequence[float]) -> dict[str, float]:
    """Of the blend, and NDCG@10 of each part alone."""
    recall, ndcg = found.judge(weights)
    metrics = {RECALL: recall, NDCG: ndcg}
    for place, part in enumerate(parts):
        alone = np.zeros(len(parts))
        alone[place] = 1
        metrics[f"{NDCG}_of_{part.name}"] = found.ndcg(alone)
    return metrics
