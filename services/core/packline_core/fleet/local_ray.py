"""A Ray of one's own on this machine: started, found again and stopped, with all its ports, folders and settings.

The REST API and both ingresses listen on loopback. Ray itself listens on every interface, having no setting for it, so
it answers only who holds the installation's token. Replicas listen there too, and answer for their own Pack alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from packline_core.config import Settings
from packline_core.errors import FailedPrecondition, Unavailable
from packline_core.fleet.api import FleetApi
from packline_core.fleet.environment import fleet_environment, settings_environment
from packline_core.fleet.ports import Ports, choose_ports
from packline_core.fleet.processes import end_processes, fleet_processes, is_named

# HAProxy's socket lies 70 characters below Ray's folder, and HAProxy takes 97.
_LONGEST_TEMP = 26
_STATE = "ray.json"
_TOKEN = "token"


@dataclass(frozen=True, slots=True)
class RayOptions:
    """What a local Ray may use.

    Attributes:
        cpus: CPUs that Ray hands out; 0 means those of the machine.
        pools: Names of pools that this one node offers, each as a resource `pool_<name>`.
        object_store_bytes: Shared memory for objects; Packline moves next to nothing through it.
        environment: Further variables for every process of the fleet.
        timeout: Seconds until it must answer.
    """

    cpus: int = 0
    pools: tuple[str, ...] = ("default",)
    object_store_bytes: int = 100_000_000
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 90.0


@dataclass(frozen=True, slots=True)
class RunningRay:
    """A local Ray that was started.

    Attributes:
        home: The installation's.
        folder: Ray's sessions, sockets and logs.
        ports: Where it listens.
    """

    home: Path
    folder: Path
    ports: Ports

    @property
    def address(self) -> str:
        """`host:port` of the gRPC ingress."""
        return f"127.0.0.1:{self.ports.grpc}"

    @property
    def serve_api(self) -> str:
        """Base URL of the REST API."""
        return f"http://127.0.0.1:{self.ports.dashboard}"

    @property
    def gcs_address(self) -> str:
        """What `ray.init(address=…)` takes."""
        return f"127.0.0.1:{self.ports.gcs}"

    @property
    def driver_environment(self) -> dict[str, str]:
        """What a process needs beside `gcs_address` to call `ray.init`; processes of the fleet have it already."""
        return _token_environment(self.home)

    def settings(self, settings: Settings) -> Settings:
        """`settings` with the addresses that this Ray really has."""
        return replace(settings, address=self.address, serve_api=self.serve_api)


def find_ray(home: Path) -> RunningRay | None:
    """The Ray of an installation, if one was started and its processes live."""
    try:
        state = json.loads((home / "ray" / _STATE).read_text(encoding="utf8"))
        found = RunningRay(home, Path(state["folder"]), Ports(**state["ports"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return found if _raylet_lives(found.folder) else None


def start_ray(settings: Settings, options: RayOptions | None = None) -> RunningRay:
    """Starts a head node that outlives this process.

    What an earlier Ray of the same home left behind is ended first.

    Raises:
        FailedPrecondition: One runs already.
        Unavailable: It does not start; the message holds Ray's own words.
    """
    options = options or RayOptions()
    if find_ray(settings.home) is not None:
        raise FailedPrecondition(f"a fleet of {settings.home} runs already; stop it first", reason="ALREADY_RUNNING")
    folder = _ray_folder(settings.home)
    end_processes(fleet_processes(folder), grace=2)
    _write_token(settings.home)
    with _start_lock():
        seed = int(hashlib.sha256(str(settings.home).encode()).hexdigest()[:6], 16)
        ports = choose_ports(_port(settings.address, 9000), _port(settings.serve_api, 8265), seed)
        running = RunningRay(settings.home, folder, ports)
        environment = _environment(running.settings(settings), running, options)
        done = subprocess.run(
            _command(running, options), env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            end_processes(fleet_processes(folder), grace=2)
            raise Unavailable(f"Ray did not start: {(done.stderr or done.stdout).strip()[-1500:]}", reason="RAY_FAILED")
    state = {"folder": str(folder), "ports": asdict(ports)}
    (settings.home / "ray" / _STATE).write_text(json.dumps(state), encoding="utf8")
    _wait_for_api(FleetApi.of(running.settings(settings)), options.timeout)
    return running


def stop_ray(home: Path, grace: float = 10.0) -> int:
    """Ends every process of an installation's Ray; returns how many there were."""
    count = end_processes(fleet_processes(_ray_folder(home)), grace)
    (home / "ray" / _STATE).unlink(missing_ok=True)
    return count


def _command(running: RunningRay, options: RayOptions) -> list[str]:
    ports = running.ports
    resources = {f"pool_{name}": 1 for name in options.pools}
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--disable-usage-stats", "--no-monitor"),
        "--node-ip-address=127.0.0.1",
        "--dashboard-host=127.0.0.1",
        f"--port={ports.gcs}",
        f"--dashboard-port={ports.dashboard}",
        f"--dashboard-agent-listen-port={ports.agent}",
        f"--metrics-export-port={ports.metrics}",
        f"--ray-client-server-port={ports.block + 8}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        "--include-log-monitor=false",
        f"--temp-dir={running.folder}",
        f"--object-store-memory={options.object_store_bytes}",
        f"--num-cpus={options.cpus or os.cpu_count() or 1}",
        f"--resources={json.dumps(resources)}",
    ]


def _environment(settings: Settings, running: RunningRay, options: RayOptions) -> dict[str, str]:
    ports, proxy = running.ports, running.folder / "h"
    inherited = {name: value for name, value in os.environ.items() if name not in {"RAY_ADDRESS", "RAY_TMPDIR"}}
    own = {
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.proxy_stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.proxy_metrics),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_grpc),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.replica_http[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.replica_http[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.replica_grpc[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.replica_grpc[1]),
        **_token_environment(running.home),
    }
    return {
        **inherited,
        **fleet_environment(),
        **own,
        **settings_environment(settings),
        **options.environment,
    }


def _token_environment(home: Path) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(home / "ray" / _TOKEN)}


def _write_token(home: Path) -> None:
    path = home / "ray" / _TOKEN
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")


def _ray_folder(home: Path) -> Path:
    folder = home / "ray"
    if len(str(folder)) > _LONGEST_TEMP:
        name = hashlib.sha256(f"{os.getuid()}:{home}".encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"packline-{name}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise FailedPrecondition(f"{folder} belongs to another user; remove it", reason="FOREIGN_FOLDER")
    return folder


@contextmanager
def _start_lock() -> Iterator[None]:
    """Lets one start at a time choose its ports and bind them."""
    path = Path(tempfile.gettempdir()) / f"packline-{os.getuid()}-start.lock"
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _raylet_lives(folder: Path) -> bool:
    return any(is_named(process, "raylet") for process in fleet_processes(folder))


def _wait_for_api(api: FleetApi, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            api.details()
            return
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"Ray runs, but its REST API does not answer: {error}", reason="RAY_FAILED"
                ) from error
        time.sleep(0.2)


def _port(address: str, default: int) -> int:
    port = urlsplit(address if "://" in address else f"//{address}").port
    return default if port is None else port
