"""Datasets, runs and the registry of versions: the types and the calls of `client.training`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from uuid import uuid4

from packline.training.v1 import training_pb2 as pb
from packline_core.config import TRAINING_APPLICATION

from packline_client.call import AsyncService, Call, Service, streaming, unary
from packline_client.convert import from_proto
from packline_client.files import folder_files, pieces
from packline_client.training_types import (
    DatasetVersion,
    Decision,
    ImportResult,
    PackState,
    RegisteredPack,
    Run,
    RunKind,
    Version,
)

_SERVICES = pb.DESCRIPTOR.services_by_name
_DATASETS = _SERVICES["DatasetService"].methods_by_name
_RUNS = _SERVICES["RunService"].methods_by_name
_REGISTRY = _SERVICES["RegistryService"].methods_by_name
HOUR = 3600.0


class _Calls:
    @unary
    def import_dataset(
        self, pack: str, folder: str | PathLike[str], *, timeout: float | None = HOUR
    ) -> Call[ImportResult]:
        """Imports labelled examples: all or nothing, and the same files again change nothing.

        Args:
            pack: Whose data it is.
            folder: A folder (or file) in one of the formats that the Pack's task reads.
            timeout: Seconds for the whole import.
        """
        files = folder_files(Path(folder))
        return Call(
            _DATASETS["ImportDataset"],
            TRAINING_APPLICATION,
            (pb.ImportDatasetRequest(pack=pack, file=chunk) for chunk in _chunks(files)),
            lambda message: from_proto(ImportResult, message),
            timeout,
        )

    @unary
    def datasets(self, pack: str, limit: int = 0) -> Call[tuple[DatasetVersion, ...]]:
        """The versions of a Pack's dataset, newest first."""
        return Call(
            _DATASETS["ListDatasetVersions"],
            TRAINING_APPLICATION,
            pb.ListDatasetVersionsRequest(pack=pack, limit=limit),
            lambda message: tuple(from_proto(DatasetVersion, item) for item in message.datasets),
        )

    @unary
    def start_run(
        self,
        pack: str,
        *,
        kind: RunKind = RunKind.TRAIN,
        run_id: str = "",
        reason: str = "asked by a user",
        version: str = "",
    ) -> Call[Run]:
        """Starts a run, or returns the one that the same `run_id` named before.

        Args:
            pack: What to train.
            kind: Training, or the gate for `version`.
            run_id: Makes the call idempotent; a new one where left out.
            reason: Why it starts, for people.
            version: The version to judge, for the gate.
        """
        request = pb.StartRunRequest(
            pack=pack,
            run_id=run_id or f"{pack}-u{uuid4().hex[:12]}",
            kind=pb.RunKind.Value(f"RUN_KIND_{kind.value.upper()}"),
            reason=reason,
            version=version,
        )
        return Call(_RUNS["StartRun"], TRAINING_APPLICATION, request, lambda message: from_proto(Run, message.run))

    @unary
    def run(self, pack: str, run_id: str) -> Call[Run]:
        """One run as it is now."""
        request = pb.GetRunRequest(pack=pack, run_id=run_id)
        return Call(_RUNS["GetRun"], TRAINING_APPLICATION, request, lambda message: from_proto(Run, message.run))

    @unary
    def runs(self, pack: str, limit: int = 0) -> Call[tuple[Run, ...]]:
        """A Pack's runs, newest first."""
        return Call(
            _RUNS["ListRuns"],
            TRAINING_APPLICATION,
            pb.ListRunsRequest(pack=pack, limit=limit),
            lambda message: tuple(from_proto(Run, item) for item in message.runs),
        )

    @streaming
    def watch_run(self, pack: str, run_id: str, *, timeout: float | None = 24 * HOUR) -> Call[Run]:
        """A run as it is now, and again at each change until it has ended."""
        request = pb.WatchRunRequest(pack=pack, run_id=run_id)
        return Call(
            _RUNS["WatchRun"], TRAINING_APPLICATION, request, lambda message: from_proto(Run, message.run), timeout
        )

    @unary
    def cancel_run(self, pack: str, run_id: str) -> Call[Run]:
        """Calls a run off."""
        request = pb.CancelRunRequest(pack=pack, run_id=run_id)
        return Call(_RUNS["CancelRun"], TRAINING_APPLICATION, request, lambda message: from_proto(Run, message.run))

    @unary
    def pack(self, pack: str) -> Call[RegisteredPack]:
        """Where a Pack stands, and its manifest."""
        return Call(
            _REGISTRY["GetPack"],
            TRAINING_APPLICATION,
            pb.GetPackRequest(pack=pack),
            lambda message: from_proto(RegisteredPack, message),
        )

    @unary
    def packs(self) -> Call[tuple[PackState, ...]]:
        """Where every Pack stands."""
        return Call(
            _REGISTRY["ListPacks"],
            TRAINING_APPLICATION,
            pb.ListPacksRequest(),
            lambda message: tuple(from_proto(PackState, item) for item in message.packs),
        )

    @unary
    def versions(self, pack: str, limit: int = 0) -> Call[tuple[Version, ...]]:
        """A Pack's versions, newest first."""
        return Call(
            _REGISTRY["ListVersions"],
            TRAINING_APPLICATION,
            pb.ListVersionsRequest(pack=pack, limit=limit),
            lambda message: tuple(from_proto(Version, item) for item in message.versions),
        )

    @unary
    def publish(self, pack: str, bundle: str | PathLike[str], *, timeout: float | None = HOUR) -> Call[Version]:
        """Registers a sealed bundle made elsewhere; it goes through the gate like any other."""
        files = folder_files(Path(bundle))
        return Call(
            _REGISTRY["PublishVersion"],
            TRAINING_APPLICATION,
            (pb.PublishVersionRequest(pack=pack, file=chunk) for chunk in _chunks(files)),
            lambda message: from_proto(Version, message.version),
            timeout,
        )

    @unary
    def approve(self, pack: str, version: str = "") -> Call[PackState]:
        """Lets a version that waits go on; the newest that waits where none is named."""
        request = pb.ApproveRequest(pack=pack, version=version)
        return Call(_REGISTRY["Approve"], TRAINING_APPLICATION, request, lambda m: from_proto(PackState, m.state))

    @unary
    def rollback(self, pack: str, version: str = "") -> Call[PackState]:
        """Wants a version back; the previous one where none is named."""
        request = pb.RollbackRequest(pack=pack, version=version)
        return Call(_REGISTRY["Rollback"], TRAINING_APPLICATION, request, lambda m: from_proto(PackState, m.state))

    @unary
    def decisions(self, pack: str, limit: int = 0) -> Call[tuple[Decision, ...]]:
        """What was decided about a Pack and why, newest first."""
        return Call(
            _REGISTRY["ListDecisions"],
            TRAINING_APPLICATION,
            pb.ListDecisionsRequest(pack=pack, limit=limit),
            lambda message: tuple(from_proto(Decision, item) for item in message.decisions),
        )


class Training(_Calls, Service):
    """`client.training`."""


class AsyncTraining(_Calls, AsyncService):
    """`async_client.training`."""


def _chunks(files: Iterable[tuple[str, Path]]) -> Iterator[pb.FileChunk]:
    for name, path in files:
        for chunk in pieces(path):
            yield pb.FileChunk(path=name, chunk=chunk)
