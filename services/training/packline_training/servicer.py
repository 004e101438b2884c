"""The gRPC face of training: DatasetService, RunService and RegistryService; protobuf to domain and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from packline.training.v1 import training_pb2 as pb
from packline_core.errors import Cancelled, InvalidInput
from packline_core.rpc import Call, rpc
from packline_core.serving.health import HealthServicer

from packline_training import wire
from packline_training.domain import PackState
from packline_training.engine import TrainingEngine
from packline_training.registry import dataset_of
from packline_training.upload import Upload

_WATCH_SECONDS = 0.5
_LIST = 100
_LONG = 4
_Values = ParamSpec("_Values")
_Result = TypeVar("_Result")


class TrainingServicer(HealthServicer):
    """All three services.

    Args:
        engine: The work. Its methods block and are called in threads, so that the event loop stays free.
    """

    health_services = frozenset(f"packline.training.v1.{name}Service" for name in ("Dataset", "Run", "Registry"))

    def __init__(self, engine: TrainingEngine) -> None:
        self._engine = engine
        self._tables = engine.tables
        # Apart from the short calls' threads, so that imports never hold up a decision.
        self._threads = ThreadPoolExecutor(_LONG, thread_name_prefix="long")

    @rpc
    async def ImportDataset(
        self, request: AsyncIterator[pb.ImportDatasetRequest], call: Call
    ) -> pb.ImportDatasetResponse:
        """Takes in a folder, all or nothing."""
        async with self._upload() as folder:
            pack = await _receive(request, Upload(folder))
            imported = await self._long(self._engine.import_dataset, pack, folder)
        return wire.from_imported(pack, imported)

    @rpc
    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, call: Call
    ) -> pb.ListDatasetVersionsResponse:
        """Dataset versions, newest first."""
        manifest = await asyncio.to_thread(self._tables.registry.manifest, request.pack)
        limit = request.limit or _LIST
        versions = await asyncio.to_thread(self._tables.datasets.versions, dataset_of(manifest), limit)
        return pb.ListDatasetVersionsResponse(datasets=[wire.from_dataset(request.pack, v) for v in versions])

    @rpc
    async def EraseExamples(self, request: pb.EraseExamplesRequest, call: Call) -> pb.EraseExamplesResponse:
        """Removes examples from every version."""
        manifest = await asyncio.to_thread(self._tables.registry.manifest, request.pack)
        erased = await self._long(self._tables.datasets.erase, dataset_of(manifest), list(request.keys))
        return pb.EraseExamplesResponse(erased=erased)

    @rpc
    async def StartRun(self, request: pb.StartRunRequest, call: Call) -> pb.StartRunResponse:
        """Queues a run, or returns the one of that id."""
        if not request.run_id:
            raise InvalidInput("run_id is needed: it makes the call safe to repeat", field="run_id")
        kind = wire.to_run_kind(request.kind)
        run = await asyncio.to_thread(
            self._tables.runs.start, request.pack, request.run_id, kind, request.reason, request.version
        )
        return pb.StartRunResponse(run=wire.from_run(run))

    @rpc
    async def GetRun(self, request: pb.GetRunRequest, call: Call) -> pb.GetRunResponse:
        """A run."""
        run = await asyncio.to_thread(self._tables.runs.get, request.pack, request.run_id)
        return pb.GetRunResponse(run=wire.from_run(run))

    @rpc
    async def ListRuns(self, request: pb.ListRunsRequest, call: Call) -> pb.ListRunsResponse:
        """A Pack's runs, newest first."""
        runs = await asyncio.to_thread(self._tables.runs.list, request.pack, request.limit or _LIST)
        return pb.ListRunsResponse(runs=[wire.from_run(run) for run in runs])

    @rpc
    async def WatchRun(self, request: pb.WatchRunRequest, call: Call) -> AsyncIterator[pb.WatchRunResponse]:
        """A run now and at each change, until it has ended."""
        last = None
        while last is None or not last.state.ended:
            run = await asyncio.to_thread(self._tables.runs.get, request.pack, request.run_id)
            if run != last:
                yield pb.WatchRunResponse(run=wire.from_run(run))
                last = run
            else:
                await asyncio.sleep(_WATCH_SECONDS)

    @rpc
    async def CancelRun(self, request: pb.CancelRunRequest, call: Call) -> pb.CancelRunResponse:
        """Calls a run off."""
        run = await asyncio.to_thread(self._tables.runs.cancel, request.pack, request.run_id)
        return pb.CancelRunResponse(run=wire.from_run(run))

    @rpc
    async def RegisterPack(self, request: pb.RegisterPackRequest, call: Call) -> pb.RegisterPackResponse:
        """Makes a Pack known, or takes in its changed manifest."""
        state = await self._long(self._engine.register_pack, request.pack, request.manifest_json)
        return pb.RegisterPackResponse(state=self._state(state))

    @rpc
    async def ForgetPack(self, request: pb.ForgetPackRequest, call: Call) -> pb.ForgetPackResponse:
        """Forgets a Pack."""
        await self._long(self._engine.forget_pack, request.pack)
        return pb.ForgetPackResponse()

    @rpc
    async def GetPack(self, request: pb.GetPackRequest, call: Call) -> pb.GetPackResponse:
        """Where a Pack stands."""
        state = await asyncio.to_thread(self._tables.registry.state, request.pack)
        manifest = await asyncio.to_thread(self._tables.registry.manifest, request.pack)
        return pb.GetPackResponse(state=self._state(state), manifest_json=manifest.to_json())

    @rpc
    async def ListPacks(self, request: pb.ListPacksRequest, call: Call) -> pb.ListPacksResponse:
        """Where every Pack stands."""
        states = await asyncio.to_thread(self._tables.registry.states)
        return pb.ListPacksResponse(packs=[self._state(state) for state in states])

    @rpc
    async def ListVersions(self, request: pb.ListVersionsRequest, call: Call) -> pb.ListVersionsResponse:
        """A Pack's versions, newest first."""
        state = await asyncio.to_thread(self._tables.registry.state, request.pack)
        versions = sorted(state.versions.values(), key=lambda version: -version.number)[: request.limit or _LIST]
        uri = self._tables.store.uri
        return pb.ListVersionsResponse(versions=[wire.from_version(version, uri) for version in versions])

    @rpc
    async def PublishVersion(
        self, request: AsyncIterator[pb.PublishVersionRequest], call: Call
    ) -> pb.PublishVersionResponse:
        """Registers a bundle made elsewhere."""
        async with self._upload() as folder:
            pack = await _receive(request, Upload(folder))
            version = await self._long(self._engine.publish, pack, folder)
        return pb.PublishVersionResponse(version=wire.from_version(version, self._tables.store.uri))

    @rpc
    async def Decide(self, request: pb.DecideRequest, call: Call) -> pb.DecideResponse:
        """Changes a Pack's rollout."""
        decision = wire.to_decision(request)
        state = await asyncio.to_thread(self._tables.registry.decide, request.pack, decision)
        return pb.DecideResponse(state=self._state(state))

    @rpc
    async def Approve(self, request: pb.ApproveRequest, call: Call) -> pb.ApproveResponse:
        """Keeps a user's leave for a version."""
        state = await asyncio.to_thread(self._tables.registry.approve, request.pack, request.version)
        return pb.ApproveResponse(state=self._state(state))

    @rpc
    async def Rollback(self, request: pb.RollbackRequest, call: Call) -> pb.RollbackResponse:
        """Keeps a user's wish for another version."""
        state = await asyncio.to_thread(self._tables.registry.ask_rollback, request.pack, request.version)
        return pb.RollbackResponse(state=self._state(state))

    @rpc
    async def ListDecisions(self, request: pb.ListDecisionsRequest, call: Call) -> pb.ListDecisionsResponse:
        """What was decided, newest first."""
        records = await asyncio.to_thread(self._tables.registry.decisions, request.pack, request.limit or _LIST)
        return pb.ListDecisionsResponse(decisions=[wire.from_decision(record) for record in records])

    async def _long(self, work: Callable[_Values, _Result], *values: _Values.args, **named: _Values.kwargs) -> _Result:
        """Calls what may take minutes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *values, **named))

    @asynccontextmanager
    async def _upload(self) -> AsyncIterator[Path]:
        """A folder for an upload; making and emptying it do not hold up the event loop."""
        folder = self._engine.upload_folder()
        path = await asyncio.to_thread(folder.__enter__)
        try:
            yield path
        finally:
            await asyncio.to_thread(folder.__exit__, None, None, None)

    def _state(self, state: PackState) -> pb.PackState:
        return wire.from_state(state, self._tables.store.uri)


async def _receive(stream: AsyncIterator[Any], upload: Upload) -> str:
    """Writes a stream of file pieces; returns the Pack that its first message named."""
    pack = ""
    with upload:
        async for message in stream:
            pack = pack or message.pack
            if not pack:
                raise InvalidInput("the first message has to name the Pack", field="pack")
            if message.HasField("file"):
                await asyncio.to_thread(upload.write, message.file.path, message.file.chunk)
    # Serve ends the stream of a caller who has gone as if it were whole.
    if getattr(stream, "is_cancelled", bool)():
        raise Cancelled("the upload was cut off; nothing was taken in")
    if not upload.files:
        raise InvalidInput("no file came; nothing was taken in", reason="NO_FILES", field="file")
    return pack
