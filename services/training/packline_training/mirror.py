"""MLflow as a mirror of the registry: runs, parameters, metrics, registered versions and their aliases.

The tables are the truth; whatever MLflow holds is made from them and can be made again (`rebuild`). MLflow is heavy, so
it is imported in a process of its own (`worker`), and a mirror that fails is logged and fails nothing else.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from packline_core.db import read
from packline_core.fleet.environment import settings_environment

from packline_training.config import TrainingSettings, load_training_settings
from packline_training.domain import PackState, Run, RunState, Version, VersionState
from packline_training.engine import Tables, open_tables
from packline_training.tables import packs, runs, versions

logger = logging.getLogger(__name__)

_RUN_TAG, _DIGEST_TAG = "packline.run_id", "packline.digest"
_MOST_RUNS = 10_000
_PAUSE, _PAUSE_AFTER_FAILURE = 5.0, 60.0
_STATUS = {
    RunState.QUEUED: "SCHEDULED",
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "FINISHED",
    RunState.FAILED: "FAILED",
    RunState.CANCELLED: "KILLED",
}


class MirrorKeeper:
    """Starts a process that brings the mirror up to date whenever the tables have changed; one at a time."""

    def __init__(self, settings: TrainingSettings, tables: Tables) -> None:
        self._settings = settings
        self._tables = tables
        self._process: subprocess.Popen[bytes] | None = None
        self._mirrored: object = None
        self._not_before = 0.0

    def look(self) -> None:
        """Called every few moments."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            if self._process.returncode != 0:
                logger.warning("the mirror in MLflow failed and is tried again; see %s", self._log)
                self._mirrored, self._not_before = None, time.monotonic() + _PAUSE_AFTER_FAILURE
            self._process = None
        if time.monotonic() < self._not_before:
            return
        now = self._mark()
        if now == self._mirrored:
            return
        self._mirrored, self._not_before = now, time.monotonic() + _PAUSE
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "packline_training.mirror"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **settings_environment(self._settings.core)},
            )

    @property
    def _log(self) -> Path:
        return self._settings.core.logs / "mirror.log"

    def _mark(self) -> object:
        """What changes with anything that the mirror shows; progress of a run under way is not mirrored."""
        with read(self._tables.engine) as connection:
            ended = sa.select(sa.func.count(), sa.func.max(runs.c.ended_at)).where(runs.c.ended_at.is_not(None))
            return (
                tuple(connection.execute(ended).one()),
                tuple(connection.execute(sa.select(packs.c.pack, packs.c.revision).order_by(packs.c.pack)).all()),
                connection.scalar(sa.select(sa.func.count()).select_from(versions)),
            )


def rebuild(settings: TrainingSettings) -> None:
    """Brings MLflow's tables to what the registry's say, from whatever they held, or from nothing."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    from mlflow import MlflowClient

    tables = open_tables(settings, lambda: datetime.now(UTC))
    artifacts = settings.core.home / "mlflow-artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(settings.mlflow_database, settings.mlflow_database)
    try:
        for name in tables.registry.names():
            state = tables.registry.state(name)
            known = client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else client.create_experiment(name, f"file://{artifacts}")
            mirrored = _mirror_runs(client, experiment, tables.runs.list(name, _MOST_RUNS))
            _mirror_versions(client, state, mirrored, tables)
    finally:
        tables.engine.dispose()


def _mirror_runs(client: Any, experiment: str, ours: list[Run]) -> dict[str, str]:
    """Makes MLflow's runs; returns their ids by ours."""
    found = client.search_runs([experiment], max_results=_MOST_RUNS)
    there = {run.data.tags.get(_RUN_TAG): run for run in found}
    ids = {}
    for run in reversed(ours):
        known = there.get(run.run_id)
        if known is None:
            tags = {_RUN_TAG: run.run_id, "packline.kind": run.kind, "packline.reason": run.reason}
            began = int((run.started_at or run.created_at).timestamp() * 1000)
            known = client.create_run(experiment, start_time=began, tags=tags, run_name=run.run_id)
        ids[run.run_id] = known.info.run_id
        if known.info.status != _STATUS[run.state]:
            _end_run(client, known.info.run_id, run)
    return ids


def _end_run(client: Any, identifier: str, run: Run) -> None:
    for name, value in run.parameters.items():
        client.log_param(identifier, name, value)
    for name, metric in run.metrics.items():
        client.log_metric(identifier, name, metric)
    client.set_tag(identifier, "mlflow.note.content", run.message)
    for name, text in (("dataset", run.dataset_digest), ("version", run.version)):
        if text:
            client.set_tag(identifier, f"packline.{name}", text)
    ended = int(run.ended_at.timestamp() * 1000) if run.ended_at else None
    client.set_terminated(identifier, _STATUS[run.state], ended) if ended else client.update_run(
        identifier, _STATUS[run.state]
    )


def _mirror_versions(client: Any, state: PackState, mirrored: Mapping[str, str], tables: Tables) -> None:
    """Makes a registered model whose version numbers are the registry's, and points its aliases."""
    known = {model.name: model for model in client.search_registered_models(f"name = '{state.pack}'")}
    if state.pack not in known:
        client.create_registered_model(state.pack, {"packline.task": state.task})
    there = {int(v.version): v for v in client.search_model_versions(f"name = '{state.pack}'")}
    for version in sorted(state.versions.values(), key=lambda version: version.number):
        if version.number not in there:
            client.create_model_version(
                state.pack,
                tables.store.uri(version.object_name),
                run_id=mirrored.get(version.run_id),
                tags={_DIGEST_TAG: version.digest},
                description=f"{version.name}, from {version.origin}",
            )
        _tag_version(client, state.pack, version)
    aliases = dict(client.get_registered_model(state.pack).aliases)
    wanted = {"active": state.active, "candidate": state.candidate, "previous": state.previous}
    for alias, name in wanted.items():
        number = name.removeprefix("v")
        if number and str(aliases.get(alias)) != number:
            client.set_registered_model_alias(state.pack, alias, number)
        if not number and alias in aliases:
            client.delete_registered_model_alias(state.pack, alias)


def _tag_version(client: Any, pack: str, version: Version) -> None:
    client.set_model_version_tag(pack, str(version.number), "packline.state", version.state)
    if version.gate is not None:
        client.set_model_version_tag(pack, str(version.number), "packline.gate", version.gate.reason)
    if version.state is VersionState.REJECTED:
        client.set_model_version_tag(pack, str(version.number), "packline.rejected", version.reason)


if __name__ == "__main__":
    os.nice(10)
    rebuild(load_training_settings())
