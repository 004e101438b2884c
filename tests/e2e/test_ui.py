"""`packline ui` as a user starts it: MLflow's own server, which shows the runs and versions that training mirrors."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from packline_core.config import load_settings
from packline_core.manifest import parse_pack
from packline_training.config import TrainingSettings
from packline_training.domain import RunKind, RunState
from packline_training.engine import open_tables
from packline_training.registry import NewVersion

from tests.e2e.conftest import Platform

pytestmark = pytest.mark.slow


def trained(settings: TrainingSettings) -> None:
    """What training leaves behind: a Pack, a run, a version that it made, and their mirror."""
    tables = open_tables(settings, lambda: datetime.now(UTC))
    raw = {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "invoices"}}
    tables.registry.create(parse_pack({**raw, "spec": {"task": "ocr"}}), NewVersion("sha256:1", "b/1", "fast", "fast"))
    tables.runs.start("invoices", "t1", RunKind.TRAIN, "asked")
    run = tables.runs.claim("me", timedelta(minutes=1))
    assert run is not None
    tables.registry.register("invoices", NewVersion("sha256:2", "b/2", "t1", "fast", "t1"))
    tables.runs.finish(run, "me", RunState.SUCCEEDED, "v2 was registered", version="v2", metrics={"cer": 0.0125})
    tables.engine.dispose()


def asked(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, json.dumps(body).encode() if body is not None else None)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read().decode()


def test_the_pages_answer_and_the_run_is_there(tmp_path: Path) -> None:
    platform = Platform(tmp_path)
    trained(TrainingSettings(load_settings({"PACKLINE_HOME": str(tmp_path)})))
    subprocess.run([sys.executable, "-m", "packline_training.mirror"], env=platform.environment, check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "packline_client", "ui", "--port", str(port)]
    with (tmp_path / "ui.log").open("wb") as log:
        shown = subprocess.Popen(command, env=platform.environment, cwd=tmp_path, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert shown.poll() is None, (tmp_path / "ui.log").read_text()
            try:
                status, page = asked(base)
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        else:
            pytest.fail((tmp_path / "ui.log").read_text())
        assert status == 200 and "<html" in page
        experiment = json.loads(asked(f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name=invoices")[1])
        body = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
        (run,) = json.loads(asked(f"{base}/api/2.0/mlflow/runs/search", body)[1])["runs"]
        assert run["info"]["status"] == "FINISHED"
        assert [(m["key"], m["value"]) for m in run["data"]["metrics"]] == [("cer", 0.0125)]
        version = json.loads(asked(f"{base}/api/2.0/mlflow/registered-models/alias?name=invoices&alias=active")[1])
        assert version["model_version"]["version"] == "1"
    finally:
        shown.terminate()
        shown.wait(30)
    assert f"Open {base} in a browser" in (tmp_path / "ui.log").read_text()
    for _ in range(100):
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    pytest.fail("a process of it goes on")
