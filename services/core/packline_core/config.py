"""Where things lie and which ports they use: typed settings from the environment, the same in every process.

`PACKLINE_HOME` names the folder of one installation's state; all defaults follow from it, so that one machine needs no
other setting. Beyond one machine the URLs point to a database, a store and addresses elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TRAINING_APPLICATION = "packline-training"
MONITORING_APPLICATION = "packline-monitoring"


@dataclass(frozen=True, slots=True)
class Settings:
    """One installation.

    Attributes:
        home: State folder: databases, objects, caches, logs, applied Packs.
        address: `host:port` of the fleet's gRPC ingress.
        serve_api: Base URL of Ray's REST API (`/api/serve/applications/`).
        store: fsspec URL below which bundles, datasets and payloads are kept.
        training_database: SQLAlchemy URL.
        monitoring_database: SQLAlchemy URL.
        state_database: SQLAlchemy URL of what Packs keep beside their bundles, such as the events they were told of.
        cache: This node's folder of verified bundles.
        providers: onnxruntime execution providers, best first.
        threads: CPU threads of one replica or training; 0 means all.
    """

    home: Path
    address: str
    serve_api: str
    store: str
    training_database: str
    monitoring_database: str
    state_database: str
    cache: Path
    providers: tuple[str, ...]
    threads: int

    @property
    def packs(self) -> Path:
        """Applied manifests and their status, one folder a Pack (a machine without Kubernetes)."""
        return self.home / "packs"

    @property
    def logs(self) -> Path:
        """Logs of processes that Packline starts itself."""
        return self.home / "logs"

    @property
    def spool(self) -> Path:
        """Predictions that monitoring has not taken in yet."""
        return self.home / "spool"


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads `PACKLINE_HOME`, `PACKLINE_ADDRESS`, `PACKLINE_SERVE_API`, `PACKLINE_STORE`, `PACKLINE_TRAINING_DATABASE`,
    `PACKLINE_MONITORING_DATABASE`, `PACKLINE_STATE_DATABASE`, `PACKLINE_CACHE`, `PACKLINE_PROVIDERS` and
    `PACKLINE_THREADS`.
    """
    home = Path(environ.get("PACKLINE_HOME") or Path.home() / ".packline").expanduser().resolve()
    return Settings(
        home=home,
        address=environ.get("PACKLINE_ADDRESS", "127.0.0.1:9000"),
        serve_api=environ.get("PACKLINE_SERVE_API", "http://127.0.0.1:8265"),
        store=environ.get("PACKLINE_STORE", f"file://{home / 'store'}"),
        training_database=environ.get("PACKLINE_TRAINING_DATABASE", f"sqlite:///{home / 'training.db'}"),
        monitoring_database=environ.get("PACKLINE_MONITORING_DATABASE", f"sqlite:///{home / 'monitoring.db'}"),
        state_database=environ.get("PACKLINE_STATE_DATABASE", f"sqlite:///{home / 'state.db'}"),
        cache=Path(environ.get("PACKLINE_CACHE") or home / "cache"),
        providers=tuple(environ.get("PACKLINE_PROVIDERS", "CPUExecutionProvider").split(",")),
        threads=int(environ.get("PACKLINE_THREADS", "0")),
    )
