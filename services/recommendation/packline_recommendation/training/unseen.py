"""Items that nobody had yet: where they are put among the known, so that they are seen at a small, known price.

A new item that is never shown stays new. By NDCG alone it would never be shown: its text foretells who would take it,
but less surely than events foretell the tenth of the known items. So the held-out events, of which some are of items
that were new then, tell how many users can be shown new items for a given loss, and which placing finds most takers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from packline_recommendation.domain import Floats, K
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.judging import ranks, recall_ndcg
from packline_recommendation.training.parts import NewItems, Placing, Recommender, new_items
from packline_recommendation.training.validation import Validation

DEFAULT = Placing(1.0, -1.0)
"""Taken where held-out events tell nothing of new items: with their like, and a little behind."""

_SLOPES = (1.0, 2.0, 4.0)
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_PRICE = 0.02  # of NDCG, relative, that new items being seen may cost at most
_STAKE = 4.0  # times the share of new items in what is asked for: where they hardly matter, they may cost little
_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """What of a validation is needed to judge any placing, of users (u) and targets (t).

    Attributes:
        known: float32 (u, K), scores of the known items that come first.
        new: float32 (u, K), of the new items, as their like have them.
        rows: int64 (t,).
        own: float32 (t,), the target's score, as its like have it where it is new.
        places: int64 (t,), its place among its own kind.
        is_new: bool (t,); an item that no text tells of counts as a known one, and stays last.
    """

    known: Floats
    new: Floats
    rows: npt.NDArray[np.int64]
    own: Floats
    places: npt.NDArray[np.int64]
    is_new: npt.NDArray[np.bool_]

    @property
    def askable(self) -> npt.NDArray[np.bool_]:
        """Bool (u,): whether a new item can be shown to a user, and must displace a known one for it."""
        return np.asarray(np.isfinite(self.known[:, -1]) & np.isfinite(self.new[:, 0]), dtype=np.bool_)

    def judge(self, placing: Placing) -> tuple[float, float]:
        """NDCG@10 of all items, and Recall@10 of the new."""
        others = placing.of(self.new)
        own = np.where(self.is_new, placing.of(self.own), self.own)
        rivals = np.where(self.is_new[:, None], self.known[self.rows], others[self.rows])
        places = self.places + (rivals > own[:, None]).sum(axis=1)
        return recall_ndcg(places, K)[1], recall_ndcg(places[self.is_new], K)[0]

    def shown_to(self, share: float, slope: float) -> Placing:
        """The placing by which that share of users is shown a new item at least."""
        last, first = self.known[self.askable, -1], self.new[self.askable, 0]
        return Placing(slope, float(np.quantile(last - slope * first, share)))


def best_placing(blend: Recommender, text: Floats, by: Validation, *, repeats: bool) -> Placing:
    """The placing that finds most takers of new items at no more than the price.

    Args:
        blend: Without new items.
        text: float32 (items, width), vectors of texts.
        by: Held-out events, some of them of items that `by.known` has no events of.
        repeats: Whether items of the history may come back.
    """
    events = np.bincount(by.known.item, minlength=len(by.known.items))
    new = new_items(text, events, Placing(1.0, 0.0))
    if new is None:
        return DEFAULT
    seen = _seen(blend, new, by, repeats=repeats)
    if not seen.is_new.any() or not seen.askable.any():
        return DEFAULT
    placings = [seen.shown_to(share, slope) for slope in _SLOPES for share in _SHARES]
    found = [(*seen.judge(placing), placing) for placing in placings]
    price = min(_PRICE, _STAKE * float(seen.is_new.mean()))
    enough = max(ndcg for ndcg, _, _ in found) * (1 - price)
    # Where no price within reach finds a taker, none is paid.
    return max((one for one in found if one[0] >= enough), key=lambda one: (one[1], one[0]))[2]


def _seen(blend: Recommender, new: NewItems, by: Validation, *, repeats: bool) -> _Seen:
    count = len(by.known.items)
    is_new = np.zeros(count, dtype=np.bool_)
    is_new[new.items[new.shares.any(axis=1)]] = True
    parts: list[tuple[Floats, Floats, Floats, npt.NDArray[np.int64]]] = []
    step = max(1, _CELLS // count)
    for begin in range(0, len(by.given), step):
        given, asked = by.given.of(slice(begin, begin + step)), by.targets.between(begin, begin + step)
        scores = new.fill(blend.scores(given))
        if not repeats:
            scores = without_history(scores, given)
        known, likely = (np.where(kind, scores, -np.inf) for kind in (~is_new, is_new))
        new_first = (ranks(kind, asked.rows, asked.items) for kind in (likely, known))
        own = scores[asked.rows, asked.items]
        parts.append((_first(known), _first(likely), own, np.where(is_new[asked.items], *new_first)))
    known, likely, own, places = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Seen(known, likely, by.targets.rows, own, places, is_new[by.targets.items])


def _first(scores: Floats) -> Floats:
    """float32 (users, K), each user's best, best first; padded with -inf."""
    width = min(K, scores.shape[1])
    best = -np.sort(np.partition(-scores, width - 1, axis=1)[:, :width], axis=1)
    return np.pad(best, ((0, 0), (0, K - width)), constant_values=-np.inf)
