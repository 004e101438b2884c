"""All items that may be recommended: those of the bundle, in the order of its model, and those that came since.

A catalogue is a picture of one moment and never changes; masks over it are made once for each condition.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from packline_recommendation.asking import Condition
from packline_recommendation.examples import Item
from packline_recommendation.identities import Texts
from packline_recommendation.known import Known

Mask = npt.NDArray[np.bool_]
_MASKS = 64


class Attributes:
    """The attributes of a bundle's items, coded.

    Args:
        texts: Each item's as JSON.
    """

    def __init__(self, texts: Texts) -> None:
        self._codes: dict[str, npt.NDArray[np.int32]] = {}
        self._values: dict[str, dict[str, int]] = {}
        count = len(texts)
        for row in range(count):
            text = texts[row]
            if text == "{}":
                continue
            for name, value in json.loads(text).items():
                if name not in self._codes:
                    self._codes[name], self._values[name] = np.zeros(count, np.int32), {}
                values = self._values[name]
                self._codes[name][row] = values.setdefault(value, len(values) + 1)

    def mask(self, condition: Condition, count: int) -> Mask:
        """Which items satisfy a condition."""
        codes = self._codes.get(condition.attribute)
        if codes is None:
            return np.full(count, condition.exclude)
        values = self._values[condition.attribute]
        wanted = [values[value] for value in condition.values if value in values]
        mask: Mask = np.isin(codes, wanted) != condition.exclude
        return mask


class Catalogue:
    """Items by place: those of the bundle first.

    Args:
        known: The bundle's.
        attributes: Of the bundle's items.
        listed: The Pack's item list since; outweighs the bundle.
        strangers: Ids that events named and no list.
    """

    def __init__(
        self, known: Known, attributes: Attributes, listed: Mapping[str, Item], strangers: Sequence[str] = ()
    ) -> None:
        self._known, self._attributes, self._listed = known, attributes, listed
        self.modelled = len(known.items)
        places = {name: known.items.find(name) for name in listed}
        self._changed = {place: listed[name] for name, place in places.items() if place >= 0}
        new = (name for name, place in places.items() if place < 0)
        self._new = [*new, *(name for name in strangers if name not in listed)]
        self._places = {name: self.modelled + place for place, name in enumerate(self._new)}
        self._masks: OrderedDict[Condition, Mask] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.modelled + len(self._new)

    def place(self, name: str) -> int:
        """Where an item stands; -1 where it is unknown."""
        found = self._places.get(name)
        return self._known.items.find(name) if found is None else found

    def names(self, places: Sequence[int]) -> list[str]:
        """The ids of the items at some places."""
        if not self._new:
            return self._known.items.take(places)
        modelled, known = self.modelled, self._known.items
        return [known[place] if place < modelled else self._new[place - modelled] for place in places]

    def texts(self, places: Sequence[int]) -> list[str]:
        """What they are called."""
        if not self._listed and not self._new:
            return self._known.texts.take(places)
        return [self._text(place) for place in places]

    def _text(self, place: int) -> str:
        item = self._changed.get(place)
        if item is None and place < self.modelled:
            return self._known.texts[place]
        item = item or self._listed.get(self._new[place - self.modelled])
        return item.text if item else ""

    def mask(self, conditions: Sequence[Condition]) -> Mask | None:
        """Which items satisfy all conditions; not to be written to. None stands for all items."""
        masks = [self._cached(condition) for condition in conditions]
        if len(masks) > 1:
            both: Mask = np.logical_and.reduce(masks)
            return both
        return masks[0] if masks else None

    def _cached(self, condition: Condition) -> Mask:
        with self._lock:
            mask = self._masks.get(condition)
            if mask is None:
                mask = self._masks[condition] = self._mask(condition)
                if len(self._masks) > _MASKS:
                    self._masks.popitem(last=False)
            else:
                self._masks.move_to_end(condition)
            return mask

    def _mask(self, condition: Condition) -> Mask:
        mask = self._attributes.mask(condition, self.modelled)
        for place, item in self._changed.items():
            mask[place] = condition.holds(item.attributes)
        empty: Mapping[str, str] = {}
        new = [condition.holds(i.attributes if (i := self._listed.get(name)) else empty) for name in self._new]
        return np.concatenate([mask, np.asarray(new, np.bool_)])
