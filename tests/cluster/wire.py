"""The wire between one client and the API server, to be cut: all connections end, as when a load balancer restarts."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.cluster.bed import Bed


@dataclass
class Wire:
    """Bytes go through as they are, TLS with them.

    Attributes:
        kubeconfig: The administrator's, by way of this wire.
    """

    kubeconfig: Path
    _port: int
    _listener: socket.socket
    _open: list[socket.socket] = field(default_factory=list)

    def run(self) -> None:
        """Takes connections until the listener is closed."""
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def cut(self) -> int:
        """Ends all connections; returns how many there were. New ones go through."""
        found, self._open = self._open, []
        for one in found:
            _end(one)
        return len(found) // 2


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while part := source.recv(1 << 16):
            sink.sendall(part)
    _end(source)
    _end(sink)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def wire(bed: Bed, folder: Path) -> Iterator[Wire]:
    """A wire, as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = yaml.safe_load(bed.admin.read_text())
        (cluster,) = config["clusters"]
        far = int(cluster["cluster"]["server"].rpartition(":")[2])
        cluster["cluster"]["server"] = f"https://127.0.0.1:{listener.getsockname()[1]}"
        kubeconfig = folder / "wire.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        found = Wire(kubeconfig, far, listener)
        thread = threading.Thread(target=found.run)
        thread.start()
        try:
            yield found
        finally:
            # A thread that waits in accept is woken by this, not by close alone.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            found.cut()
