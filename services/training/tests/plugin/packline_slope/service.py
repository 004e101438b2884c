"""The training service's own half as a process that tests may kill: tables and supervisor, without the gRPC face."""

import json
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

import ray
from packline_core.config import load_settings
from packline_training.config import TrainingSettings
from packline_training.engine import open_tables
from packline_training.logs import log_to_file
from packline_training.supervisor import Supervisor, launch_driver


def settings_of(environment: dict[str, str]) -> TrainingSettings:
    settings = TrainingSettings(load_settings(environment), mirror=False)
    return replace(settings, lease_seconds=6.0, heartbeat_seconds=1.0, poll_seconds=0.2, monitoring_patience=5.0)


def main(gcs: str, environment: dict[str, str]) -> None:
    settings = settings_of(environment)
    log_to_file(settings)
    ray.init(address=gcs, namespace="packline", log_to_driver=False)
    tables = open_tables(settings, lambda: datetime.now(UTC))
    supervisor = Supervisor(settings, tables, launch_driver(settings, tables))
    supervisor.start()
    print("ready", flush=True)
    while supervisor.alive:
        time.sleep(0.5)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
