"""How much each part of a blend counts: fitted on held-out items, first by likelihood, then by NDCG itself.

Only items that some part puts among its first hundreds can come out on top, so each user is represented by those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from packline_recommendation.domain import Floats, K
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import recall_ndcg
from packline_recommendation.training.parts import Part

_FIRST = 150  # of each part
_CELLS = 40_000_000  # scores in memory at once
_PENALTY = 1e-3
_FACTORS = (0.0, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0)
_ROUNDS = 3
_WORTH = 2e-4  # of NDCG, relative; less is taken for chance
_SPARED = 1e-3  # of NDCG, relative, that a part must add to be worth its time in serving


@dataclass(frozen=True, slots=True)
class Targets:
    """What is asked for.

    Attributes:
        rows: int64 (targets,), the history that each belongs to; ascending.
        items: int64 (targets,).
    """

    rows: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]

    def between(self, begin: int, end: int) -> Targets:
        """Those of some histories, counted from `begin`."""
        first, last = np.searchsorted(self.rows, (begin, end))
        return Targets(self.rows[first:last] - begin, self.items[first:last])


@dataclass(frozen=True, slots=True)
class Candidates:
    """Each user's items that some part puts first.

    Attributes:
        scores: float32 (users, candidates, parts), scaled; padding is -inf-like in every part.
        there: bool (users, candidates).
        rows: int64 (targets,), the user of each target.
        places: int64 (targets,), its place among the candidates; -1 where no part puts it first.
    """

    scores: Floats
    there: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]

    def blended(self, weights: npt.ArrayLike) -> Floats:
        """float32 (users, candidates)."""
        total = self.scores @ np.asarray(weights, dtype=np.float32)
        total[~self.there] = -np.inf
        return np.asarray(total, dtype=np.float32)

    def judge(self, weights: npt.ArrayLike) -> tuple[float, float]:
        """Recall@10 and NDCG@10."""
        total = torch.from_numpy(self.blended(weights))
        first = total.topk(min(K, total.shape[1]), dim=1).indices.numpy()
        hit = (first[self.rows] == self.places[:, None]) & (self.places[:, None] >= 0)
        ranks = np.where(hit.any(axis=1), hit.argmax(axis=1), K)
        return recall_ndcg(ranks, K)

    def ndcg(self, weights: npt.ArrayLike) -> float:
        """NDCG@10."""
        return self.judge(weights)[1]


def candidates(parts: Sequence[Part], given: Histories, targets: Targets, *, repeats: bool) -> Candidates:
    """Scores all items by all parts and keeps each user's best.

    Args:
        parts: What scores.
        given: Histories.
        targets: What is asked for.
        repeats: Whether items of the history may come back.
    """
    scores: list[Floats] = []
    there: list[npt.NDArray[np.bool_]] = []
    places: list[npt.NDArray[np.int64]] = []
    begin = 0
    while begin < len(given):
        count = catalogue_size(parts, given)
        end = min(len(given), begin + max(1, _CELLS // (count * (len(parts) + 2))))
        few = given.of(slice(begin, end))
        asked = targets.between(begin, end)
        stack = np.stack([part.scores(few) for part in parts], axis=-1)
        hidden = np.zeros(stack.shape[:2], dtype=np.bool_)
        if not repeats:
            rows, columns = np.nonzero(few.items)
            hidden[rows, few.items[rows, columns] - 1] = True
        chosen = _firsts(stack, hidden)
        kept, valid = _packed(chosen)
        values = np.take_along_axis(stack, kept[:, :, None], axis=1)
        scores.append(values.astype(np.float32))
        there.append(valid)
        found = (kept[asked.rows] == asked.items[:, None]) & valid[asked.rows]
        places.append(np.where(found.any(axis=1), found.argmax(axis=1), -1))
        begin = end
    width = max((block.shape[1] for block in there), default=0)
    return Candidates(
        np.concatenate([np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0))) for block in scores]),
        np.concatenate([np.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in there]),
        targets.rows,
        np.concatenate(places),
    )


def fit_weights(found: Candidates) -> list[float]:
    """Weights of a blend's parts, each 0 or more.

    The likelihood of the targets among the candidates gives weights that few data bear; from there one weight after
    the other is changed as long as NDCG@10 gains more than chance would give.
    """
    weights = _likely(found)
    best = found.ndcg(weights)
    for _ in range(_ROUNDS):
        before = best
        for place in range(len(weights)):
            for factor in _FACTORS:
                trial = weights.copy()
                trial[place] = trial[place] * factor if trial[place] else 0.1 * weights.max() * factor
                value = found.ndcg(trial)
                if value > best * (1 + _WORTH):
                    best, weights = value, trial
        if best <= before * (1 + _WORTH):
            break
    for place in np.argsort(weights):
        without = weights.copy()
        without[place] = 0
        if without.any() and found.ndcg(without) >= best * (1 - _SPARED):
            weights = without
    return [float(weight) for weight in weights]


def _likely(found: Candidates) -> npt.NDArray[np.float64]:
    """Weights under which the targets are most likely, by multinomial logistic regression."""
    kept = found.places >= 0
    rows, places = torch.from_numpy(found.rows[kept]), torch.from_numpy(found.places[kept])
    scores, there = torch.from_numpy(found.scores), torch.from_numpy(found.there)
    count = found.scores.shape[2]
    raw = torch.full((count,), -1.0, requires_grad=True)
    optimizer = torch.optim.LBFGS([raw], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        weights = functional.softplus(raw)
        total = (scores @ weights).masked_fill(~there, float("-inf"))
        value = (total.logsumexp(dim=1)[rows] - total[rows, places]).mean() + _PENALTY * weights.square().sum()
        torch.autograd.backward(value)
        return value

    if len(rows):
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(functional.softplus(raw).detach().numpy(), dtype=np.float64)


def catalogue_size(parts: Sequence[Part], given: Histories) -> int:
    """How many items there are."""
    return int(parts[0].scores(given.of(slice(0, 1))).shape[1])


def _firsts(stack: Floats, hidden: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Bool (users, items): whether some part has an item among its first."""
    chosen = np.zeros(hidden.shape, dtype=np.bool_)
    first = min(_FIRST, hidden.shape[1])
    for part in range(stack.shape[2]):
        line = np.where(hidden, -np.inf, stack[:, :, part])
        best = np.argpartition(-line, first - 1, axis=1)[:, :first]
        np.put_along_axis(chosen, best, True, axis=1)
    return chosen & ~hidden


def _packed(chosen: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Columns of each row's true values, side by side, and which of them are real."""
    counts = chosen.sum(axis=1)
    _, columns = np.nonzero(chosen)
    width = int(counts.max(initial=1))
    kept = np.zeros((len(chosen), width), dtype=np.int64)
    valid = np.arange(width)[None, :] < counts[:, None]
    kept[valid] = columns
    return kept, valid
