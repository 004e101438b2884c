"""A database, a store and a task of one's own for each test."""

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

PLUGIN = str(Path(__file__).parent / "plugin")
if PLUGIN not in sys.path:
    sys.path.insert(0, PLUGIN)
# Workers and Ray's processes find the task there, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [PLUGIN, os.environ.get("PYTHONPATH", "")]))

from packline_core.config import load_settings  # noqa: E402
from packline_core.db import create_engine, migrate  # noqa: E402
from packline_core.store import ObjectStore  # noqa: E402
from packline_slope.testing import Clock, manifest  # noqa: E402
from packline_training.config import TrainingSettings  # noqa: E402
from packline_training.datasets import Datasets  # noqa: E402
from packline_training.engine import Tables, TrainingEngine  # noqa: E402
from packline_training.registry import NewVersion, Registry  # noqa: E402
from packline_training.runs import Runs  # noqa: E402
from packline_training.worker import Apart  # noqa: E402

from tests.backends.fixtures import Backend  # noqa: E402


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(backend: Backend) -> Iterator[sa.Engine]:
    engine = create_engine(backend.database, busy_timeout=2)
    migrate(engine, "packline_training")
    yield engine
    engine.dispose()


@pytest.fixture
def settings(tmp_path: Path, backend: Backend) -> TrainingSettings:
    environment = {
        "PACKLINE_HOME": str(tmp_path / "home"),
        "PACKLINE_TRAINING_DATABASE": backend.database,
        "PACKLINE_STORE": backend.store,
    }
    return TrainingSettings(load_settings(environment), mirror=False)


@pytest.fixture
def store(settings: TrainingSettings) -> ObjectStore:
    return ObjectStore(settings.core.store)


@pytest.fixture
def registry(engine: sa.Engine, clock: Clock) -> Registry:
    return Registry(engine, clock)


@pytest.fixture
def pack(registry: Registry) -> str:
    registry.create(manifest(), NewVersion("sha256:base", "bundles/ba/base", "flat", "flat"))
    return "line"


@pytest.fixture
def tables(engine: sa.Engine, store: ObjectStore, settings: TrainingSettings, clock: Clock) -> Tables:
    datasets = Datasets(engine, store, settings.core.store, clock)
    return Tables(engine, store, Registry(engine, clock), datasets, Runs(engine, clock))


def here(function: str, /, **arguments: Any) -> dict[str, Any]:
    """Calls what the service calls in a process of its own; test_worker shows that real processes do the same."""
    module, _, name = function.partition(":")
    answer: dict[str, Any] = getattr(import_module(module), name)(**arguments)
    return answer


@pytest.fixture
def apart() -> Apart:
    return here


@pytest.fixture
def training(settings: TrainingSettings, tables: Tables) -> TrainingEngine:
    return TrainingEngine(settings, tables, here)
