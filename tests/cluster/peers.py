"""The operator's peers in one light process: `python -m tests.cluster.peers HOME KUBECONFIG`; prints its two ports.

Training and monitoring are the real services on SQLite, behind a plain gRPC server instead of Ray's ingress. Serve is
played: `/NAMESPACE/api/serve/applications/` says of all that a RayService's configuration has that it runs, with one
replica. For what needs hundreds of Packs or none of Ray's own behaviour; the loop's tests have a real Ray.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import kubernetes
from packline.monitoring.v1.monitoring_pb2_grpc import add_MonitoringServiceServicer_to_server
from packline.training.v1 import training_pb2_grpc
from packline_core.channels import channel_options
from packline_core.config import load_settings
from packline_core.store import ObjectStore
from packline_monitoring.engine import Monitoring
from packline_monitoring.meter import PrometheusMeter
from packline_monitoring.servicer import MonitoringServicer
from packline_monitoring.tables import open_database
from packline_monitoring.training import GrpcTraining
from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.fleet import services_path
from packline_training.config import TrainingSettings
from packline_training.engine import TrainingEngine, open_tables
from packline_training.servicer import TrainingServicer
from prometheus_client import CollectorRegistry


@dataclass(frozen=True)
class Peers:
    """Where they are.

    Attributes:
        address: Of training and monitoring.
        serve_api: What `PACKLINE_SERVE_API` is to be.
    """

    address: str
    serve_api: str


@contextmanager
def running_peers(home: Path, kubeconfig: Path) -> Iterator[Peers]:
    """The process, as long as the block lasts."""
    command = [sys.executable, "-m", "tests.cluster.peers", str(home), str(kubeconfig)]
    with (home / "peers.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        assert len(line) == 2, (home / "peers.log").read_text()[-3000:]
        yield Peers(f"127.0.0.1:{line[0]}", f"http://127.0.0.1:{line[1]}/{{namespace}}")
    finally:
        process.kill()
        process.communicate()


def training_settings(home: Path) -> TrainingSettings:
    """Of the services below one folder."""
    return TrainingSettings(load_settings({"PACKLINE_HOME": str(home)}), mirror=False)


def _here(function: str, /, **arguments: Any) -> dict[str, Any]:
    """What the service calls in a process of its own; here in this one, which is quicker."""
    module, _, name = function.partition(":")
    answer: dict[str, Any] = getattr(import_module(module), name)(**arguments)
    return answer


def _now() -> datetime:
    return datetime.now(UTC)


async def _serve(home: Path, kubeconfig: Path) -> None:
    settings = training_settings(home)
    server = grpc.aio.server(options=channel_options("127.0.0.1:0"))
    port = server.add_insecure_port("127.0.0.1:0")
    training = TrainingServicer(TrainingEngine(settings, open_tables(settings, _now), _here))
    for name in ("Registry", "Run", "Dataset"):
        getattr(training_pb2_grpc, f"add_{name}ServiceServicer_to_server")(training, server)
    monitoring = Monitoring(
        database=open_database(settings.core.monitoring_database),
        store=ObjectStore(settings.core.store),
        training=GrpcTraining(f"127.0.0.1:{port}"),
        meter=PrometheusMeter(CollectorRegistry()),
        clock=_now,
    )
    add_MonitoringServiceServicer_to_server(MonitoringServicer(monitoring), server)
    await server.start()
    monitoring.start()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _serve_api(kubeconfig))
    threading.Thread(target=http.serve_forever, daemon=True).start()
    sys.stdout.write(f"{port} {http.server_address[1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _serve_api(kubeconfig: Path) -> type[BaseHTTPRequestHandler]:
    api = Api(kubernetes.config.new_client_from_config(str(kubeconfig)))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            services, _ = api.list(services_path(self.path.split("/")[1]))
            configs = [json.loads(one["spec"].get("serveConfigV2") or "{}") for one in services]
            found = {one["name"]: _running(one) for config in configs for one in config.get("applications", [])}
            body = json.dumps({"applications": found}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _running(application: dict[str, Any]) -> dict[str, Any]:
    replica = {"replica_id": f"{application['name']}-1", "state": "RUNNING", "node_id": "n", "pid": 1}
    deployments = {"replica": {"message": "", "replicas": [replica]}}
    return {"status": "RUNNING", "message": "", "deployments": deployments, "deployed_app_config": application}


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2])))
