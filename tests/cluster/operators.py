"""The operator as a process, for tests beside the loop's: as administrator, with whatever settings a test needs."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.bed import Bed
from tests.cluster.parts import free_ports
from tests.cluster.peers import Peers


@dataclass(frozen=True)
class RunningOperator:
    """A process."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def get(self, path: str) -> str:
        """`/healthz` or `/metrics`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """One figure, summed over the labels that are not named; 0 where there is none."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        rows = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", self.get("/metrics"), re.MULTILINE)
        return sum(float(value) for told, value in rows if all(label in told for label in wanted))


@contextmanager
def running_operator(bed: Bed, peers: Peers, log: Path, *namespaces: str, **more: str) -> Iterator[RunningOperator]:
    """An operator of these namespaces, as long as the block lasts."""
    (port,) = free_ports(1)
    environment = {
        **bed.environment(),
        "POD_NAMESPACE": namespaces[0] if namespaces else "default",
        "PACKLINE_NAMESPACES": ",".join(namespaces),
        "PACKLINE_ADDRESS": peers.address,
        "PACKLINE_SERVE_API": peers.serve_api,
        "PACKLINE_OPERATOR_PORT": str(port),
        "PACKLINE_SETTLED_SECONDS": "3",
        **more,
    }
    with log.open("ab") as stream:
        command = [sys.executable, "-m", "packline_operator.kubernetes"]
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        yield RunningOperator(process, log, port)
    finally:
        process.kill()
        process.wait()
