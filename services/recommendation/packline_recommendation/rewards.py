"""What users' doings tell of answers: whether one was taken up, and what one that nobody saw would have been worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from packline_core.task import Count

from packline_recommendation.events import REFUSALS, RETURN, kind_of
from packline_recommendation.examples import Event, read_truth

# Neither is a wish: a view may be no more than that the item was on the screen.
_NOT_TAKEN = REFUSALS | {RETURN, "view"}


def is_wanted(event: Event) -> bool:
    """Whether an event of a truth says that its item should have come first: no refusal, nothing given back."""
    return kind_of(event.event) not in REFUSALS | {RETURN}


def is_refused(event: Event) -> bool:
    """Whether it says that the item is not to come back."""
    return kind_of(event.event) in REFUSALS


def taken(truths: Iterable[str]) -> frozenset[str]:
    """Items that a user clicked, liked, put into the cart or ordered, by all that was told of one answer."""
    events = [event for truth in truths for event in read_truth(truth)]
    return frozenset(event.item for event in events if kind_of(event.event) not in _NOT_TAKEN)


def off_policy(shown: Sequence[str], other: Sequence[str], took: frozenset[str]) -> tuple[Count, Count]:
    """Two lists by what a user took of the one that was shown: items taken per item looked at, in each order.

    The item-position click model (Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen, Offline Evaluation of
    Ranking Policies with Click Models, KDD 2018), self-normalised: an item at rank r is looked at with 1 / log2(r + 2)
    and taken by its own worth. What was taken, divided by how much it was looked at, is the item's worth; a list's is
    the mean over its items, each counted as much as this list has it looked at. Of the other list only items that were
    shown as well can be known, so its mean is over these. Weights are at most 3.5 with ten items: none is clipped.

    Biased where the other list is new: items that it alone has are taken to be worth as much as those that both have,
    and a call whose lists have nothing in common tells nothing. Biased towards neither list where the two hold the same
    items in another order, if people look at lists as assumed. Where they do not, or took what they wanted without the
    list, the estimate is only a hint; the rates of the calls that a canary answers are the proof.

    Args:
        shown: Items of the answer that the user saw, best first.
        other: Items of the one that nobody saw, best first.
        took: Items that the user took.

    Returns:
        Sum of worth and of looks, of each list.
    """
    looks = {item: _look(rank) for rank, item in enumerate(shown)}
    both = [(item, _look(rank)) for rank, item in enumerate(other) if item in looks]
    return (
        Count(float(sum(item in took for item in shown)), sum(looks.values())),
        Count(sum(look / looks[item] for item, look in both if item in took), sum(look for _, look in both)),
    )


def _look(rank: int) -> float:
    return 1 / math.log2(rank + 2)
