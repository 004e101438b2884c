"""What both kinds of run share: the world that a run works in, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from packline_core.bundle import Bundle, verify
from packline_core.errors import Cancelled
from packline_core.manifest import Pack
from packline_core.runtime import Runtime
from packline_core.task import Metric, Task, get_task

from packline_training.config import TrainingSettings
from packline_training.domain import Run, Version
from packline_training.engine import Tables
from packline_training.progress import Progress
from packline_training.registry import dataset_of


class NoCandidate(Exception):
    """A run that ends without what it was to make; the message is the sentence for the user."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run made: a sentence, and the columns that it sets."""

    message: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass
class Conduct:
    """One run under way.

    Attributes:
        settings: The installation's.
        tables: Where everything is kept.
        run: As it was taken up.
        owner: Who holds its lease.
        clock: Tells the time.
        progress: For whoever watches.
        called_off: Set when the run is.
    """

    settings: TrainingSettings
    tables: Tables
    run: Run
    owner: str
    clock: Callable[[], datetime]
    progress: Progress
    called_off: threading.Event

    def __post_init__(self) -> None:
        self.pack: Pack = self.tables.registry.manifest(self.run.pack)
        self.task: Task = get_task(self.pack.spec.task)
        self.dataset = dataset_of(self.pack)
        self.folder: Path = self.settings.run_folder(self.run.pack, self.run.run_id)
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def metric(self) -> Metric:
        """The objective's, or the task's first."""
        named = [metric for metric in self.task.metrics if metric.name == self.pack.spec.objective.metric]
        return (named or list(self.task.metrics))[0]

    @property
    def runtime(self) -> Runtime:
        """As replicas run bundles."""
        return Runtime(self.settings.core.providers, self.settings.core.threads)

    def tell(self, percent: float, stage: str, metrics: Mapping[str, float] | None = None) -> None:
        """Says how far the run is."""
        self.progress.tell(percent, stage, metrics or {})

    def check(self) -> None:
        """Raises `Cancelled` where the run was called off."""
        if self.called_off.is_set():
            raise Cancelled("the run was called off")

    def bundle(self, version: Version) -> Bundle:
        """A version's bundle, verified, on this machine. Raises `BundleRejected`, `NotFound`."""
        folder = self.folder / version.digest.removeprefix("sha256:")[:16]
        if not folder.exists():
            self.tables.store.get_folder(version.object_name, folder)
        return verify(folder, version.digest)
