"""Takes in batches of predictions: payloads to the store, then all figures of a batch in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from packline_core.bundle import bytes_digest
from packline_core.errors import StorageFull

from packline_monitoring.checks import check_pack, check_predictions
from packline_monitoring.domain import Prediction, Recorded
from packline_monitoring.meter import DROPPED, LOST, count_predictions
from packline_monitoring.predictions import insert
from packline_monitoring.references import remove_unnamed
from packline_monitoring.shared import Shared
from packline_monitoring.tallies import fold_dropped

logger = logging.getLogger(__name__)

# Of one batch's payloads, so many are written at once.
_SLICES = 4
_MAX_DROPPED = 1 << 40


class Recording:
    """The way in for predictions."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def record(self, predictions: Sequence[Prediction], dropped: Mapping[str, int]) -> Recorded:
        """Records a batch, all of it or nothing; a prediction known by its id is left as it is.

        A payload that the store has no room for is dropped with its answer, not its figures. Predictions older than
        `Limits.rows` count as dropped.

        Raises:
            InvalidInput: A prediction can never be recorded; the message names it.
            Overloaded: Too much is on its way already.
            StorageFull: The database is full; nothing of the batch was recorded.
            Unavailable: The database is locked or away; nothing of the batch was recorded.
        """
        now = self._shared.clock()
        checked = check_predictions(predictions, now)
        batch = [p for p in checked if p.at > now - self._shared.limits.rows]
        lost = {check_pack(pack, "dropped"): min(count, _MAX_DROPPED) for pack, count in dropped.items()}
        for p in checked:
            if p.at <= now - self._shared.limits.rows:
                lost[p.pack] = lost.get(p.pack, 0) + 1
        with ExitStack() as stack:
            stack.enter_context(self._shared.memory.hold(sum(len(p.payload) for p in batch)))
            digests = await self._shared.threads.run(
                lambda: [bytes_digest(p.payload) if p.payload else None for p in batch]
            )
            pairs = list(zip(batch, digests, strict=True))
            objects = {(p.pack, digest): p.payload for p, digest in pairs if digest}
            stack.enter_context(self._shared.payloads.arriving(objects.keys()))
            refused = await self._put(objects)
            kept = [(p, None if (p.pack, digest) in refused else digest) for p, digest in pairs]
            sums = fold_dropped(lost, now)
            recorded = await self._shared.writer.write(lambda connection: insert(connection, kept, sums))
        new = {(p.pack, p.prediction_id) for p in recorded}
        if strays := {(p.pack, digest) for p, digest in kept if digest and (p.pack, p.prediction_id) not in new}:
            # Sent again, or erased meanwhile: their payloads are not wanted, unless another row names them.
            await self._shared.writer.write(
                lambda connection: remove_unnamed(connection, self._shared.payloads, strays)
            )
        self._shared.arrivals.tell(new)
        return self._counted(recorded, lost, [p.pack for p, digest in pairs if (p.pack, digest) in refused])

    async def _put(self, objects: Mapping[tuple[str, str], bytes]) -> set[tuple[str, str]]:
        """Keeps payloads; returns those that the store had no room for."""

        def put(part: Sequence[tuple[tuple[str, str], bytes]]) -> list[tuple[str, str]]:
            refused = []
            for key, payload in part:
                try:
                    self._shared.payloads.put(key[0], payload)
                except StorageFull as error:
                    logger.warning("a payload of Pack %s is dropped, its figures are kept: %s", key[0], error.message)
                    refused.append(key)
            return refused

        items = list(objects.items())
        parts = [items[first::_SLICES] for first in range(min(_SLICES, len(items)))]
        refused = await asyncio.gather(*(self._shared.threads.run(partial(put, part)) for part in parts))
        return {key for part in refused for key in part}

    def _counted(self, recorded: Sequence[Prediction], lost: Mapping[str, int], refused: Sequence[str]) -> Recorded:
        count_predictions(self._shared.meter, recorded)
        for metric, counts in ((DROPPED, lost), (LOST, Counter(refused))):
            for pack, count in counts.items():
                if count:
                    self._shared.meter.count(metric, {"pack": pack}, count)
        return Recorded(len(recorded), len(refused))
