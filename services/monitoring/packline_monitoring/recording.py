"""Takes in batches of predictions: payloads to the store, then all figures of a batch in one transaction."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial

from packline_core.bundle import bytes_digest
from packline_core.errors import StorageFull

from packline_monitoring.arrivals import Arrivals
from packline_monitoring.config import Limits
from packline_monitoring.domain import Prediction, Recorded, check_pack, check_predictions
from packline_monitoring.load import Memory, Threads
from packline_monitoring.meter import DROPPED, LOST, Meter, count_predictions
from packline_monitoring.payloads import Payloads
from packline_monitoring.predictions import insert
from packline_monitoring.references import remove_unnamed
from packline_monitoring.tallies import fold_dropped
from packline_monitoring.writer import Writer

logger = logging.getLogger(__name__)

# Of one batch's payloads, so many are written at once.
_SLICES = 4
_MAX_DROPPED = 1 << 40


class Recording:
    """The way in for predictions."""

    def __init__(
        self,
        *,
        writer: Writer,
        payloads: Payloads,
        threads: Threads,
        memory: Memory,
        arrivals: Arrivals,
        meter: Meter,
        clock: Callable[[], datetime],
        limits: Limits,
    ) -> None:
        self._writer = writer
        self._payloads = payloads
        self._threads = threads
        self._memory = memory
        self._arrivals = arrivals
        self._meter = meter
        self._clock = clock
        self._limits = limits

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
        now = self._clock()
        checked = check_predictions(predictions, now)
        batch = [p for p in checked if p.at > now - self._limits.rows]
        lost = {check_pack(pack, "dropped"): min(count, _MAX_DROPPED) for pack, count in dropped.items()}
        for p in checked:
            if p.at <= now - self._limits.rows:
                lost[p.pack] = lost.get(p.pack, 0) + 1
        with ExitStack() as stack:
            stack.enter_context(self._memory.hold(sum(len(p.payload) for p in batch)))
            digests = await self._threads.run(lambda: [bytes_digest(p.payload) if p.payload else None for p in batch])
            pairs = list(zip(batch, digests, strict=True))
            objects = {(p.pack, digest): p.payload for p, digest in pairs if digest}
            stack.enter_context(self._payloads.arriving(objects.keys()))
            refused = await self._put(objects)
            kept = [(p, None if (p.pack, digest) in refused else digest) for p, digest in pairs]
            sums = fold_dropped(lost, now)
            recorded = await self._writer.write(lambda connection: insert(connection, kept, sums))
        new = {(p.pack, p.prediction_id) for p in recorded}
        if strays := {(p.pack, digest) for p, digest in kept if digest and (p.pack, p.prediction_id) not in new}:
            # Sent again, or erased meanwhile: their payloads are not wanted, unless another row names them.
            await self._writer.write(lambda connection: remove_unnamed(connection, self._payloads, strays))
        self._arrivals.tell(new)
        return self._counted(recorded, lost, [p.pack for p, digest in pairs if (p.pack, digest) in refused])

    async def _put(self, objects: Mapping[tuple[str, str], bytes]) -> set[tuple[str, str]]:
        """Keeps payloads; returns those that the store had no room for."""

        def put(part: Sequence[tuple[tuple[str, str], bytes]]) -> list[tuple[str, str]]:
            refused = []
            for key, payload in part:
                try:
                    self._payloads.put(key[0], payload)
                except StorageFull as error:
                    logger.warning("a payload of Pack %s is dropped, its figures are kept: %s", key[0], error.message)
                    refused.append(key)
            return refused

        items = list(objects.items())
        parts = [items[first::_SLICES] for first in range(min(_SLICES, len(items)))]
        refused = await asyncio.gather(*(self._threads.run(partial(put, part)) for part in parts))
        return {key for part in refused for key in part}

    def _counted(self, recorded: Sequence[Prediction], lost: Mapping[str, int], refused: Sequence[str]) -> Recorded:
        count_predictions(self._meter, recorded)
        for metric, counts in ((DROPPED, lost), (LOST, Counter(refused))):
            for pack, count in counts.items():
                if count:
                    self._meter.count(metric, {"pack": pack}, count)
        return Recorded(len(recorded), len(refused))
