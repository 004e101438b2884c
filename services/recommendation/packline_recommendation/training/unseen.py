"""Items that nobody had yet: each is shown to those users whom it suits best, as many as a small, known price allows.

A new item that is never shown stays new. By NDCG alone it would never be shown: its text foretells who would take it,
but less surely than events foretell the tenth of the known items. So the held-out events, of which some are of items
that were new then, tell how many new items a user can be shown for a given loss. Every new item gets an equal part of
these places. One bar for all of them would give nearly all places to the one whose like sell best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from packline_recommendation.domain import Floats, K
from packline_recommendation.training.blending import Targets, catalogue_size
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.judging import recall_ndcg
from packline_recommendation.training.parts import NewItems, Recommender
from packline_recommendation.training.validation import Validation

_PLACES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.5, 2.0)  # new items among the first K of a user, on average
_PRICE = 0.02  # of NDCG, relative, that new items being seen may cost at most
_STAKE = 4.0  # times the share of new items in what is asked for: where they hardly matter, they may cost little
_CELLS = 20_000_000  # scores in memory at once
_USERS = (300, 6000)  # that are looked at


@dataclass(frozen=True, slots=True)
class _Firsts:
    """Scores of some users.

    Attributes:
        known: float32 (users, K), of the known items that come first, best first; padded with -inf.
        new: float32 (users, told), of the new items that a text tells of, as their like have them.
    """

    known: Floats
    new: Floats

    def offset(self, places: float) -> Floats | None:
        """What each new item is to be moved by to get its part of so many places of a user, float32 (told,).

        None where nobody has as many known items as are shown: new ones fill up anyway.
        """
        full = np.isfinite(self.known[:, -1])
        if not full.any() or not self.new.size:
            return None
        missing = self.known[full, -1:] - self.new[full]
        return np.asarray(np.quantile(missing, min(places / self.new.shape[1], 1.0), axis=0), dtype=np.float32)


def best_places(blend: Recommender, new: NewItems, by: Validation, *, repeats: bool) -> float | None:
    """How many new items a user is shown, on average: what finds most of their takers at no more than the price.

    Args:
        blend: Without new items.
        new: The items that `by.known` has no events of.
        by: Held-out events, some of them of new items.
        repeats: Whether items of the history may come back.

    Returns:
        None where held-out events tell nothing of new items.
    """
    by = by.some(_users(new))
    rows, items = by.targets.rows, by.targets.items
    column = np.full(len(by.known.items), -1, dtype=np.int64)
    told = new.items[new.told]
    column[told] = np.arange(len(told))
    column = column[items]
    is_new = column >= 0
    if not is_new.any():
        return None
    firsts, own = _firsts(blend, new, by.given, by.targets, repeats=repeats)

    def judge(offset: Floats) -> tuple[float, float]:
        """NDCG@10 of all items, and Recall@10 of the new."""
        moved = firsts.new + offset
        score = np.where(is_new, moved[rows, column], own)
        places = sum((first[rows] > score[:, None]).sum(axis=1) for first in (firsts.known, _first(moved)))
        return recall_ndcg(places, K)[1], recall_ndcg(places[is_new], K)[0]

    offsets = [(places, offset) for places in _PLACES if (offset := firsts.offset(places)) is not None]
    if not offsets:
        return None
    found = [(*judge(offset), places) for places, offset in offsets]
    price = min(_PRICE, _STAKE * float(is_new.mean()))
    enough = max(ndcg for ndcg, _, _ in found) * (1 - price)
    # Where no price within reach finds a taker, none is paid.
    return max((one for one in found if one[0] >= enough), key=lambda one: (one[1], one[0]))[2]


def placed(places: float | None, blend: Recommender, new: NewItems, given: Histories, *, repeats: bool) -> NewItems:
    """New items, put where users of a model see so many of them.

    Args:
        places: As `best_places` found it.
        blend: The model, without new items.
        new: The items that it has no events of.
        given: Histories of some users.
        repeats: Whether items of the history may come back.
    """
    if places is None:
        return new
    few = given.of(slice(0, _users(new)))
    nothing = Targets(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    offset = _firsts(blend, new, few, nothing, repeats=repeats)[0].offset(places)
    return new if offset is None else new.moved(offset)


def _firsts(
    blend: Recommender, new: NewItems, given: Histories, asked: Targets, *, repeats: bool
) -> tuple[_Firsts, Floats]:
    """And the scores of what is asked for, float32 (targets,)."""
    known, like, own = [], [], []
    told = new.items[new.told]
    even = new.moved(np.zeros(len(told), dtype=np.float32))
    step = max(1, _CELLS // catalogue_size(blend.parts, given))
    for begin in range(0, len(given), step):
        few, targets = given.of(slice(begin, begin + step)), asked.between(begin, begin + step)
        scores = even.fill(blend.scores(few))
        if not repeats:
            scores = without_history(scores, few)
        own.append(scores[targets.rows, targets.items])
        like.append(scores[:, told])
        scores[:, new.items] = -np.inf
        known.append(_first(scores))
    return _Firsts(np.concatenate(known), np.concatenate(like)), np.concatenate(own)


def _users(new: NewItems) -> int:
    """As many as are looked at."""
    return int(np.clip(_CELLS // max(len(new.items), 1), *_USERS))


def _first(scores: Floats) -> Floats:
    """float32 (users, K), each user's best, best first; padded with -inf."""
    width = min(K, scores.shape[1])
    best = -np.sort(np.partition(-scores, width - 1, axis=1)[:, :width], axis=1)
    return np.pad(best, ((0, 0), (0, K - width)), constant_values=-np.inf)
