"""The operator with many Packs on a real API server: a first pass over all, a pass after a restart, a single change.

`python tests/perf/bench_operator.py [--json FILE] [--namespaces 20] [--packs 50] [--changes 20]`. Training and
monitoring are the real services on SQLite, in one process without Ray, and Serve is played (`tests/cluster/peers.py`):
a thousand applications would need more than one machine. So the figures hold the API server, etcd, the operator and
its calls to both services, and not Ray.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from packline_core.manifest import parse_pack  # noqa: E402
from packline_operator.kubernetes.fleet import services_path  # noqa: E402
from packline_operator.kubernetes.source import packs_path  # noqa: E402
from packline_training.engine import open_tables  # noqa: E402
from packline_training.registry import NewVersion  # noqa: E402

from tests.cluster.bed import Bed  # noqa: E402
from tests.cluster.operators import RunningOperator, running_operator  # noqa: E402
from tests.cluster.packs import api_of, install_crd, manifest  # noqa: E402
from tests.cluster.peers import Peers, running_peers, training_settings  # noqa: E402
from tests.cluster.test_operator import ray_service  # noqa: E402

_LOOKS = "packline_operator_reconciled_packs_total"


def until(done: Callable[[], bool], timeout: float = 900, pause: float = 0.05) -> float:
    """Seconds until it is so, asked every `pause` seconds."""
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > timeout:
            raise TimeoutError(f"not within {timeout:.0f} s")
        time.sleep(pause)
    return time.monotonic() - began


def answers(operator: RunningOperator) -> bool:
    """Whether its port answers yet."""
    try:
        return operator.get("/healthz") == "ok\n"
    except OSError:
        return False


class Bench:
    """One control plane with its Packs."""

    def __init__(self, bed: Bed, home: Path, namespaces: int, packs: int) -> None:
        self.bed, self.home = bed, home
        bed.start_api()
        self.api = api_of(bed)
        self.names = [(f"fleet-{n}", f"pack-{n}-{p}") for n in range(namespaces) for p in range(packs)]

    def declare(self) -> None:
        """Fleets, Packs, and their base models in the registry, as if each had been registered before."""
        bed = self.bed
        bed.install_kuberay_crds()
        install_crd(bed, "echo")
        for namespace in sorted({namespace for namespace, _ in self.names}):
            bed.create_namespace(namespace)
            bed.apply(ray_service(namespace))
        with ThreadPoolExecutor(8) as threads:
            made = list(
                threads.map(lambda one: self.api.create(packs_path(one[0]), manifest(one[1], one[0])), self.names)
            )
        registry = open_tables(training_settings(self.home), lambda: datetime.now(UTC)).registry
        for pack in made:
            registry.create(parse_pack(pack), NewVersion("sha256:base", "bundles/ba/base", "identity", "identity"))

    def ready(self) -> int:
        """Packs that are told to be ready."""
        items, _ = self.api.list(packs_path())
        conditions = [(item.get("status") or {}).get("conditions") or [{"status": ""}] for item in items]
        return sum(1 for told in conditions if told[0]["status"] == "True")

    def fleet_writes(self) -> int:
        """How often the fleets' configurations were written, all in all."""
        items, _ = self.api.list(services_path())
        return sum(int(item["metadata"]["generation"]) - 1 for item in items)

    def first(self, peers: Peers, log: Path) -> float:
        """From the operator's start until every Pack is served and told to be ready."""
        with running_operator(self.bed, peers, log, PACKLINE_SETTLED_SECONDS="20"):
            # Seldom: a list of them all is work for the API server, too.
            return until(lambda: self.ready() == len(self.names), pause=3)

    def settled(self, operator: RunningOperator) -> dict[str, float]:
        """A pass over all, once the operator answers; then what it costs while nothing happens."""
        until(lambda: answers(operator))
        whole = until(lambda: operator.metric(_LOOKS) >= len(self.names))
        process = psutil.Process(operator.process.pid)
        time.sleep(25)
        looks, busy, began = operator.metric(_LOOKS), sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(40)
        seconds = time.monotonic() - began
        return {
            "pass_s": whole,
            "idle_looks_per_s": (operator.metric(_LOOKS) - looks) / seconds,
            "idle_cpu_cores": (sum(process.cpu_times()[:2]) - busy) / seconds,
            "memory_mib": process.memory_info().rss / 2**20,
        }

    def change(self, number: int) -> tuple[float, float]:
        """One Pack's manifest changes: seconds until the fleet's configuration has it, and until the status says so."""
        namespace, name = self.names[number * 7 % len(self.names)]
        wanted = 100 + number
        path = f"{packs_path(namespace)}/{name}"
        generation = self.api.merge(path, {"spec": {"serving": {"maxQueue": wanted}}})["metadata"]["generation"]
        fleet = f"/apis/ray.io/v1/namespaces/{namespace}/rayservices/fleet"
        applied = until(lambda: f'"max_queue": {wanted}' in self.api.get(fleet)["spec"]["serveConfigV2"], 60)
        told = until(lambda: bool(self.api.get(path)["status"]["observedGeneration"] == generation), 60)
        return applied, applied + told


def main() -> None:
    """Measures, prints, and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--namespaces", type=int, default=20)
    parser.add_argument("--packs", type=int, default=50, help="in each namespace")
    parser.add_argument("--changes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with Bed(Path(folder) / "bed") as bed:
            bench = Bench(bed, home, options.namespaces, options.packs)
            bench.declare()
            with running_peers(home, bed.admin) as peers:
                log = home / "operator.log"
                result: dict[str, Any] = {"packs": len(bench.names), "namespaces": options.namespaces}
                result["first_s"] = bench.first(peers, log)
                result["first_fleet_writes"] = bench.fleet_writes()
                with running_operator(bed, peers, log, PACKLINE_SETTLED_SECONDS="20") as operator:
                    result |= bench.settled(operator)
                    changes = [bench.change(number) for number in range(options.changes)]
                for index, word in enumerate(("change_applied_s", "change_told_s")):
                    figures = sorted(change[index] for change in changes)
                    result[word] = {"median": statistics.median(figures), "worst": figures[-1]}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
