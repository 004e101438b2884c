"""MLflow holds what the tables say, and can be made again from them."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from packline_slope.testing import Clock
from packline_training.config import TrainingSettings
from packline_training.domain import Decision, DecisionKind, GateOutcome, GateResult, RunKind, RunState
from packline_training.engine import Tables
from packline_training.mirror import MirrorKeeper, rebuild
from packline_training.registry import NewVersion

mlflow = pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("default")


def fill(tables: Tables, pack: str, clock: Clock) -> None:
    tables.runs.start(pack, "t1", RunKind.TRAIN, "50 corrections")
    run = tables.runs.claim("me", timedelta(minutes=1))
    assert run is not None
    new = NewVersion("sha256:2", "bundles/02/2", "t1", "flat", "t1", "sha256:d", {"mae": 0.25})
    version = tables.registry.register(pack, new).name
    values = {"version": version, "metrics": {"mae": 0.25}, "parameters": {"rate": 0.3}}
    tables.runs.finish(run, "me", RunState.SUCCEEDED, "v2 was registered", **values)
    gate = GateResult(GateOutcome.PASSED, "v2 passed", "mae", clock(), "v1")
    tables.registry.judge(pack, version, gate, dataset=1, passed=True)
    tables.registry.decide(pack, Decision("d1", DecisionKind.BEGIN_ROLLOUT, version, 1))


def client(settings: TrainingSettings):  # type: ignore[no-untyped-def]
    return mlflow.MlflowClient(settings.mlflow_database, settings.mlflow_database)


def test_runs_versions_and_aliases(
    tables: Tables, settings: TrainingSettings, pack: str, clock: Clock, tmp_path: Path
) -> None:
    fill(tables, pack, clock)
    for _ in range(2):
        rebuild(settings)
        seen = client(settings)
        (run,) = seen.search_runs([seen.get_experiment_by_name(pack).experiment_id])
        assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {"rate": "0.3"}, {"mae": 0.25})
        assert run.data.tags["packline.run_id"] == "t1" and run.data.tags["mlflow.note.content"] == "v2 was registered"
        model = seen.get_registered_model(pack)
        assert {k: str(v) for k, v in model.aliases.items()} == {"active": "1", "candidate": "2"}
        version = seen.get_model_version(pack, "2")
        assert version.run_id == run.info.run_id and version.tags["packline.gate"] == "v2 passed"
        assert version.source.endswith("bundles/02/2") and version.tags["packline.digest"] == "sha256:2"
    tables.registry.decide(pack, Decision("d2", DecisionKind.PROMOTE, "v2", 2))
    rebuild(settings)
    aliases = client(settings).get_registered_model(pack).aliases
    assert {k: str(v) for k, v in aliases.items()} == {"active": "2", "previous": "1"}
    (settings.core.home / "mlflow.db").unlink()
    rebuild(settings)
    assert str(client(settings).get_registered_model(pack).aliases["active"]) == "2"


def test_a_mirror_that_fails_is_logged_and_fails_nothing(
    tables: Tables, settings: TrainingSettings, pack: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.core.logs.mkdir(parents=True)
    keeper = MirrorKeeper(settings, tables)
    (settings.core.home / "mlflow.db").write_bytes(b"this is no database" * 500)
    keeper.look()
    while "the mirror in MLflow failed" not in caplog.text:
        keeper.look()
        time.sleep(0.1)
    assert tables.registry.state(pack).active == "v1"
