"""A recommender as a sum of parts: each family's scores, brought to one scale and weighted.

Each part's scores of one user are centred and divided by their standard deviation over the catalogue, which makes
weights comparable between users with long and short histories. Items that nobody had yet cannot be scored by events;
each takes the mean of the final scores of the items whose texts are most like its own, moved as held-out events tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from packline_recommendation.domain import Floats
from packline_recommendation.training.factors import Factors
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.neighbours import Neighbours
from packline_recommendation.training.sequence import Network

EPSILON = 1e-6
"""Added to a standard deviation, so that scores that are all alike come to 0."""

_MODELS = 50_000  # items with the most events, among which those like a new one are sought
_LIKE = 10  # items whose scores a new item takes
_SHARPNESS = 4  # power of a cosine that the nearer of them count by
_BEHIND = -1.0  # standard deviations, where nothing tells how much of new items users should see
_LAST = -1e4  # below all scores, and yet a score: the item may be recommended where nothing else is left
_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Constant:
    """Scores that are the same for everybody, float32 (items,)."""

    values: Floats


Scorer = Constant | Neighbours | Factors | Network


@dataclass(frozen=True, slots=True)
class Part:
    """One family's scores.

    Attributes:
        name: The family's.
        scorer: What scores.
        decay: Share that an event counts for, per step back from the newest.
        rate: Decay per second of age.
    """

    name: str
    scorer: Scorer
    decay: float = 1.0
    rate: float = 0.0

    def scores(self, given: Histories) -> Floats:
        """Scaled scores, float32 (users, items)."""
        scorer = self.scorer
        if isinstance(scorer, Constant):
            raw = np.broadcast_to(scorer.values, (len(given), len(scorer.values)))
        elif isinstance(scorer, Network):
            raw = network_scores(scorer, given)
        else:
            raw = scorer.scores(given, given.decayed(self.decay, self.rate))
        return scaled(raw)


@dataclass(frozen=True, slots=True)
class NewItems:
    """How items without events are scored.

    Attributes:
        items: int64 (new,), their indices.
        like: int64 (new, width), items with events whose texts are most like each one's.
        shares: float32 (new, width), what each of those counts for; sums to 1, or to 0 where nothing is like it.
        offset: float32 (new,), added to that mean; in standard deviations of a user's scores.
    """

    items: npt.NDArray[np.int64]
    like: npt.NDArray[np.int64]
    shares: Floats
    offset: Floats

    @property
    def told(self) -> npt.NDArray[np.bool_]:
        """Bool (new,): which have a text that is like others'."""
        return np.asarray(self.shares.any(axis=1), dtype=np.bool_)

    def moved(self, offset: Floats) -> NewItems:
        """The same with an offset for each that a text tells of, float32 (told,)."""
        moved = self.offset.copy()
        moved[self.told] = offset
        return replace(self, offset=moved)

    def fill(self, scores: Floats) -> Floats:
        """The same scores, with those of new items in their places."""
        filled = scores.copy()
        for place, item in enumerate(self.items):
            filled[:, item] = scores[:, self.like[place]] @ self.shares[place] + self.offset[place]
        return filled


@dataclass(frozen=True, slots=True)
class Recommender:
    """A whole model.

    Attributes:
        parts: With their weights.
        weights: One for each part.
        length: Events of a history that are looked at.
        new: How items without events are scored; none where there are no such items or no texts.
    """

    parts: Sequence[Part]
    weights: Sequence[float]
    length: int
    new: NewItems | None = None

    def scores(self, given: Histories) -> Floats:
        """float32 (users, items)."""
        total: Floats | None = None
        for part, weight in zip(self.parts, self.weights, strict=True):
            scores = part.scores(given) * np.float32(weight)
            total = scores if total is None else total + scores
        if total is None:
            raise ValueError("a recommender has at least one part")
        return self.new.fill(total) if self.new else total


def scaled(raw: Floats) -> Floats:
    """Scores of each user with mean 0 and standard deviation 1, or all 0."""
    centred = raw - raw.mean(axis=1, keepdims=True)
    return np.asarray(centred / (centred.std(axis=1, keepdims=True) + EPSILON), dtype=np.float32)


def network_scores(network: Network, given: Histories) -> Floats:
    """A transformer's scores of what comes next, float32 (users, items)."""
    newest = given.items[:, -network.shape.length :]
    device = network.embedding.weight.device
    with torch.no_grad():
        states = network(torch.from_numpy(newest).to(device))[:, -1]
        return np.asarray((states @ network.table().T).cpu().numpy(), dtype=np.float32)


def new_items(vectors: Floats, events: npt.NDArray[np.int64]) -> NewItems | None:
    """Finds for each item without events those with events that its text is most like.

    Args:
        vectors: float32 (items, width), unit vectors of texts, or zeros.
        events: int64 (items,), events of each.

    Returns:
        With their like and a little behind, those of which nothing is known at all last; None where every item has
        events.
    """
    items = np.flatnonzero(events == 0)
    known = np.argsort(-events, kind="stable")[:_MODELS]
    known = np.sort(known[events[known] > 0])
    if not len(items) or not len(known):
        return None
    width = min(_LIKE, len(known))
    like = np.zeros((len(items), width), dtype=np.int64)
    shares = np.zeros((len(items), width), dtype=np.float32)
    for begin in range(0, len(items), _ROWS):
        rows = slice(begin, begin + _ROWS)
        cosine = vectors[items[rows]] @ vectors[known].T
        best = np.argpartition(-cosine, width - 1, axis=1)[:, :width]
        near = np.maximum(np.take_along_axis(cosine, best, axis=1), 0) ** _SHARPNESS
        like[rows] = known[best]
        shares[rows] = near / np.maximum(near.sum(axis=1, keepdims=True), 1e-9)
    offset = np.where(shares.any(axis=1), _BEHIND, _LAST).astype(np.float32)
    return NewItems(items, like, shares, offset)
