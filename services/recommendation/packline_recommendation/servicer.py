"""RecommendationService: protobuf to values and back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

from packline.recommendation.v1 import recommendation_pb2 as pb
from packline_core.errors import InvalidInput, NotFound, PacklineError
from packline_core.rpc import Call, rpc
from packline_core.serving.replica import Prediction, Replica
from packline_core.task import state_of

from packline_recommendation import wire
from packline_recommendation.asking import Answer, Ask, answer_json
from packline_recommendation.config import RecommendationSpec
from packline_recommendation.engine import RecommendationPredictor
from packline_recommendation.events import Raw
from packline_recommendation.examples import query_payload
from packline_recommendation.state import PackState
from packline_recommendation.view import StateView

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 1.0


class RecommendationServicer(Replica):
    """The replica of a recommendation Pack."""

    prepare_inline = True
    _state: PackState | None = None
    _view: StateView | None = None
    _follower: asyncio.Task[None] | None = None
    _repeats: bool | None = None
    _many: asyncio.Semaphore

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Takes in what is to be served; opens the Pack's state first."""
        if self._state is None:
            self._state = await asyncio.to_thread(PackState, state_of(self.pack, self.settings))
            self._view = StateView(self._state)
            await asyncio.to_thread(self._view.refresh)
            self._follower = asyncio.create_task(self._follow())
        await super().reconfigure(user_config)
        # All calls for many together ask no more at a time than a batch takes, so that they neither fill the queue that
        # other callers wait in nor are refused for one another.
        self._many = asyncio.Semaphore(max(1, self._config.limits.max_batch))
        self._repeats = RecommendationSpec.model_validate(self.options).repeats

    @rpc
    async def Recommend(self, request: pb.RecommendRequest, call: Call) -> pb.RecommendResponse:
        """What one user or session may want next."""
        return wire.to_response(await self._recommend(call, request.pack, request))

    @rpc
    async def RecommendMany(self, request: pb.RecommendManyRequest, call: Call) -> pb.RecommendManyResponse:
        """The same for many, each by itself."""
        self._check_pack(request.pack)
        if len(request.requests) > wire.MOST_REQUESTS:
            raise InvalidInput(
                f"{len(request.requests)} requests; at most {wire.MOST_REQUESTS} are taken at once",
                reason="TOO_MANY",
                field="requests",
            )

        async def one(inner: pb.RecommendRequest) -> pb.RecommendOutcome:
            async with self._many:
                try:
                    answer = await self._recommend(call, inner.pack or request.pack, inner)
                    return pb.RecommendOutcome(answer=wire.to_response(answer))
                except PacklineError as error:
                    return wire.to_error(error)

        return pb.RecommendManyResponse(outcomes=await asyncio.gather(*map(one, request.requests)))

    @rpc
    async def SimilarItems(self, request: pb.SimilarItemsRequest, call: Call) -> pb.SimilarItemsResponse:
        """What goes with one item."""
        self._check_pack(request.pack)
        ask = wire.similar_ask(request, time.time(), self._view)
        prediction = await self.predict(call, pack=request.pack, payload=ask, record=partial(self._payload, ask))
        (answer,) = prediction.results
        if answer.unknown_items:
            raise NotFound(f"item {request.item!r} is unknown to this Pack", reason="UNKNOWN_ITEM", item=request.item)
        response = pb.SimilarItemsResponse(
            prediction_id=prediction.prediction_id, model_version=prediction.model_version, notes=answer.notes
        )
        wire.put_results(response, answer)
        return response

    @rpc
    async def RecordEvents(self, request: pb.RecordEventsRequest, call: Call) -> pb.RecordEventsResponse:
        """Takes events in; they are on disk when it answers."""
        return await self._record_events(request.pack, request.events)

    @rpc
    async def StreamEvents(
        self, request: AsyncIterator[pb.StreamEventsRequest], call: Call
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        """The same, message by message."""
        pack = ""
        async for message in request:
            pack = message.pack or pack
            yield pb.StreamEventsResponse(recorded=await self._record_events(pack, message.events))

    @rpc
    async def ImportItems(self, request: pb.ImportItemsRequest, call: Call) -> pb.ImportItemsResponse:
        """Takes items of the list in; they are on disk when it answers."""
        self._check_pack(request.pack)
        assert self._state is not None and self._view is not None
        items = wire.listed(request.items)
        changed = await asyncio.to_thread(self._state.put_items, items)
        await asyncio.to_thread(self._view.refresh)
        return pb.ImportItemsResponse(changed=changed, unchanged=len(items) - changed)

    def answer_json(self, results: Sequence[Answer]) -> str:
        """The answer in the task's JSON."""
        return answer_json(results[0])

    async def drain(self) -> None:
        """Ends what runs, and writes what waits."""
        if self._follower is not None:
            self._follower.cancel()
        await super().drain()
        if self._state is not None:
            await asyncio.to_thread(self._state.close)

    async def _recommend(self, call: Call, pack: str, request: pb.RecommendRequest) -> Prediction:
        self._check_pack(pack)
        recorded = await self._recent(wire.checked_id(request.user, "user", empty=True))
        ask = wire.to_ask(request, recorded, time.time(), repeats=self._repeats, view=self._view)
        return await self.predict(call, pack=pack, payload=ask, record=partial(self._payload, ask))

    def _payload(self, ask: Ask) -> bytes:
        """A question for the prediction log, with all that it went by, so that it can be asked again of any version."""
        predictor = self._active()
        return b"" if predictor is None else query_payload(predictor.query(ask))

    async def _recent(self, user: str) -> Sequence[Raw]:
        if not user or self._state is None:
            return []
        if self._state.is_local:
            return self._state.recent(user)
        return await asyncio.to_thread(self._state.recent, user)

    async def _record_events(self, pack: str, events: Sequence[pb.Event]) -> pb.RecordEventsResponse:
        self._check_pack(pack)
        told = wire.told(events, time.time())
        if not told:
            raise InvalidInput("the message has no events", reason="EMPTY", field="events")
        assert self._state is not None and self._view is not None
        new, known = await asyncio.wrap_future(self._state.record(told))
        return pb.RecordEventsResponse(
            recorded=new, duplicates=known, unknown_items=sum(not self._knows(one.raw.item) for one in told)
        )

    def _knows(self, item: str) -> bool:
        predictor = self._active()
        assert self._view is not None
        return item in self._view.items or (predictor is not None and predictor.knows(item))

    def _active(self) -> RecommendationPredictor | None:
        slot = None if self._slots is None else self._slots.active
        return cast("RecommendationPredictor | None", None if slot is None else slot.predictor)

    def _check_pack(self, pack: str) -> None:
        if pack != self.pack:
            raise NotFound(
                f"no Pack {pack!r} is served here; check its name with `packline get packs`",
                reason="UNKNOWN_PACK",
                pack=pack[:63],
            )

    async def _follow(self) -> None:
        """Sees what other replicas took in, and counts nothing for versions that are closed."""
        assert self._view is not None
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            try:
                self._view.forget(*(cast("RecommendationPredictor", s.predictor).newest for s in self._open_slots()))
                await asyncio.to_thread(self._view.refresh)
            except PacklineError as error:
                _log.warning("the state of pack %s cannot be read: %s", self.pack, error.message)
