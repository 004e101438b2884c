"""Items that nobody had yet: where they are put among the known, so that they are seen at a small, known price.

A new item that is never shown stays new. By NDCG alone it would never be shown: its text foretells who would take it,
but less surely than events foretell the tenth of the known items. So the held-out events, of which some are of items
that were new then, tell how many users can be shown new items for a given loss, and which placing finds most takers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from packline_recommendation.domain import Floats, K
from packline_recommendation.training.choosing import without_history
from packline_recommendation.training.histories import Histories
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

    def judge(self, placing: Placing) -> tuple[float, float]:
        """NDCG@10 of all items, and Recall@10 of the new."""
        others = placing.of(self.new)
        own = np.where(self.is_new, placing.of(self.own), self.own)
        rivals = np.where(self.is_new[:, None], self.known[self.rows], others[self.rows])
        places = self.places + (rivals > own[:, None]).sum(axis=1)
        return recall_ndcg(places, K)[1], recall_ndcg(places[self.is_new], K)[0]


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much of new items users see: `share` of them are shown one at least, and `slope` as in `Placing`.

    Unlike an offset, it means the same for another model, whose scores lie elsewhere.
    """

    slope: float
    share: float


def best_exposure(blend: Recommender, text: Floats, by: Validation, *, repeats: bool) -> Exposure | None:
    """The exposure that finds most takers of new items at no more than the price; None where nothing tells of them.

    Args:
        blend: Without new items.
        text: float32 (items, width), vectors of texts.
        by: Held-out events, some of them of items that `by.known` has no events of.
        repeats: Whether items of the history may come back.
    """
    events = np.bincount(by.known.item, minlength=len(by.known.items))
    new = new_items(text, events, Placing(1.0, 0.0))
    if new is None:
        return None
    seen = _seen(blend, new, by, repeats=repeats)
    if not seen.is_new.any() or not _askable(seen.known, seen.new).any():
        return None
    exposures = [Exposure(slope, share) for slope in _SLOPES for share in _SHARES]
    found = [(*seen.judge(_placing(one, seen.known, seen.new)), one) for one in exposures]
    price = min(_PRICE, _STAKE * float(seen.is_new.mean()))
    enough = max(ndcg for ndcg, _, _ in found) * (1 - price)
    # Where no price within reach finds a taker, none is paid.
    return max((one for one in found if one[0] >= enough), key=lambda one: (one[1], one[0]))[2]


def placed(
    exposure: Exposure | None,
    blend: Recommender,
    text: Floats,
    events: npt.NDArray[np.int64],
    given: Histories,
    *,
    repeats: bool,
) -> Placing:
    """Where new items are put, so that users of a model see as much of them.

    Args:
        exposure: As `best_exposure` found it.
        blend: The model, without new items.
        text: float32 (items, width), vectors of texts.
        events: int64 (items,), events of each in what the model was trained on.
        given: Histories of some users.
        repeats: Whether items of the history may come back.
    """
    new = new_items(text, events, Placing(1.0, 0.0)) if exposure else None
    if exposure is None or new is None:
        return DEFAULT
    is_new = new.told(len(events))
    firsts = [
        [_first(np.where(kind, scores, -np.inf)) for kind in (~is_new, is_new)]
        for block in _blocks(given, len(events))
        for scores in [_scores(blend, new, given.of(block), repeats=repeats)]
    ]
    known, likely = (np.concatenate(column) for column in zip(*firsts, strict=True))
    return _placing(exposure, known, likely) if _askable(known, likely).any() else DEFAULT


def _askable(known: Floats, new: Floats) -> npt.NDArray[np.bool_]:
    """Bool (users,): whether a new item can be shown to a user, and must displace a known one for it."""
    return np.asarray(np.isfinite(known[:, -1]) & np.isfinite(new[:, 0]), dtype=np.bool_)


def _placing(exposure: Exposure, known: Floats, new: Floats) -> Placing:
    """The placing by which that share of users is shown a new item at least."""
    askable = _askable(known, new)
    last, first = known[askable, -1], new[askable, 0]
    return Placing(exposure.slope, float(np.quantile(last - exposure.slope * first, exposure.share)))


def _seen(blend: Recommender, new: NewItems, by: Validation, *, repeats: bool) -> _Seen:
    known, likely, own, places = [], [], [], []
    is_new = new.told(len(by.known.items))
    for block in _blocks(by.given, len(is_new)):
        asked = by.targets.between(block.start, block.stop)
        scores = _scores(blend, new, by.given.of(block), repeats=repeats)
        kinds = [np.where(kind, scores, -np.inf) for kind in (is_new, ~is_new)]
        likely.append(_first(kinds[0]))
        known.append(_first(kinds[1]))
        own.append(scores[asked.rows, asked.items])
        places.append(np.where(is_new[asked.items], *(ranks(kind, asked.rows, asked.items) for kind in kinds)))
    return _Seen(
        np.concatenate(known),
        np.concatenate(likely),
        by.targets.rows,
        np.concatenate(own),
        np.concatenate(places),
        is_new[by.targets.items],
    )


def _scores(blend: Recommender, new: NewItems, given: Histories, *, repeats: bool) -> Floats:
    scores = new.fill(blend.scores(given))
    return scores if repeats else without_history(scores, given)


def _blocks(given: Histories, items: int) -> Iterator[slice]:
    """Users whose scores are in memory at once."""
    step = max(1, _CELLS // items)
    return (slice(begin, begin + step) for begin in range(0, len(given), step))


def _first(scores: Floats) -> Floats:
    """float32 (users, K), each user's best, best first; padded with -inf."""
    width = min(K, scores.shape[1])
    best = -np.sort(np.partition(-scores, width - 1, axis=1)[:, :width], axis=1)
    return np.pad(best, ((0, 0), (0, K - width)), constant_values=-np.inf)
