"""The work of the training service: registry, datasets and runs as one, without any protobuf."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from packline_core.bundle import verify
from packline_core.db import create_engine, migrate
from packline_core.errors import BundleRejected, InvalidInput
from packline_core.manifest import Pack, parse_pack
from packline_core.store import ObjectStore
from packline_core.task import Remembering, get_task, state_of
from sqlalchemy.engine import Engine

from packline_training import garbage
from packline_training.bases import put_bundle
from packline_training.config import TrainingSettings
from packline_training.datasets import Datasets
from packline_training.domain import PackState, Version
from packline_training.imports import Imported, import_folder
from packline_training.registry import NewVersion, Registry, dataset_of
from packline_training.runs import Runs
from packline_training.worker import Apart, run_apart

_LEFTOVER_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything that is kept: what the service, its runs and the mirror work on."""

    engine: Engine
    store: ObjectStore
    registry: Registry
    datasets: Datasets
    runs: Runs


def open_tables(settings: TrainingSettings, clock: Callable[[], datetime]) -> Tables:
    """Opens database and store, and brings the tables to this version."""
    engine = create_engine(settings.core.training_database)
    migrate(engine, "packline_training")
    store = ObjectStore(settings.core.store)
    datasets = Datasets(engine, store, settings.core.store, clock)
    return Tables(engine, store, Registry(engine, clock), datasets, Runs(engine, clock))


def base_of(pack: Pack) -> str:
    """The base model that a Pack starts from."""
    base = pack.spec.model.base
    return get_task(pack.spec.task).default_base(pack.spec.objective.metric) if base == "auto" else base


class TrainingEngine:
    """What the service's calls do. Every method blocks; the servicer calls them in threads."""

    def __init__(self, settings: TrainingSettings, tables: Tables, apart: Apart = run_apart) -> None:
        self.settings = settings
        self.tables = tables
        self._apart = apart

    def register_pack(self, name: str, manifest_json: str) -> PackState:
        """Makes a Pack known or takes in its changed manifest. A base model that the Pack has not had before becomes
        its first version, or its next one, which goes through the gate.
        """
        pack = parse_pack(manifest_json)
        if pack.name != name:
            raise InvalidInput(f"the manifest is of Pack {pack.name}, not {name}", field="manifest_json")
        registry = self.tables.registry
        if name not in registry.names():
            return registry.create(pack, self._build_base(pack))
        state = registry.update_manifest(pack)
        bases = {version.origin for version in state.versions.values()}
        if pack.spec.model.base != "auto" and pack.spec.model.base not in bases:
            registry.register(name, self._build_base(pack))
        return registry.state(name)

    def forget_pack(self, name: str) -> None:
        """Forgets a Pack, its state, versions and runs, and its dataset unless another Pack uses it."""
        pack = self.tables.registry.manifest(name)
        dataset = dataset_of(pack)
        if isinstance(get_task(pack.spec.task), Remembering):
            self._apart(
                "packline_training.reading:forget_state",
                task=pack.spec.task,
                state=asdict(state_of(name, self.settings.core)),
            )
        self.tables.registry.forget(name)
        self.tables.datasets.forget(dataset)
        garbage.collect(self.tables.engine, self.tables.store)
        shutil.rmtree(self.settings.run_folder(name, "any").parent, ignore_errors=True)

    def import_dataset(self, pack: str, folder: Path) -> Imported:
        """Takes in a folder that was uploaded. Raises `InvalidInput`."""
        manifest = self.tables.registry.manifest(pack)
        return import_folder(self.tables.datasets, manifest, folder, self.settings.core.store, self._apart)

    def publish(self, pack: str, folder: Path) -> Version:
        """Verifies an uploaded bundle and registers it.

        Raises:
            BundleRejected: It is damaged, or of another task.
            FailedPrecondition: Its digest was rejected before.
        """
        state = self.tables.registry.state(pack)
        bundle = verify(folder)
        if bundle.manifest.task != state.task:
            raise BundleRejected(f"the bundle is of task {bundle.manifest.task}, Pack {pack} of {state.task}")
        new = NewVersion(
            digest=bundle.digest,
            object_name=put_bundle(self.tables.store, bundle),
            origin="published",
            base=bundle.manifest.base,
            dataset_digest=bundle.manifest.dataset,
            metrics=bundle.manifest.metrics,
        )
        return self.tables.registry.register(pack, new)

    @contextmanager
    def upload_folder(self) -> Iterator[Path]:
        """An empty folder for an upload, removed afterwards; what killed processes left is removed, too."""
        root = self.settings.work / "uploads"
        folder = root / uuid4().hex
        folder.mkdir(parents=True)
        for other in root.iterdir():
            if time.time() - other.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _build_base(self, pack: Pack) -> NewVersion:
        base = base_of(pack)
        built = self._apart(
            "packline_training.bases:build_base", task=pack.spec.task, base=base, store=self.settings.core.store
        )
        return NewVersion(**built, origin=base, base=base)
