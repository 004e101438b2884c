"""The Serve dashboard of a head pod that runs no Ray: takes what KubeRay puts, and says that all of it runs.

KubeRay finds it as its HTTP proxy, so it needs no DNS: whatever head pod KubeRay asks, this one answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Dashboard:
    """One that listens.

    Attributes:
        url: For `HTTP_PROXY`.
        configs: What was put, each with the address that it was put to.
    """

    url: str
    configs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def details(self) -> dict[str, Any]:
        """As Serve answers: every application of the last configuration runs."""
        # KubeRay puts `{}` where nobody has written a configuration yet.
        config = self.configs[-1][1] if self.configs else {}
        deployments = {"replica": {"name": "replica", "status": "HEALTHY", "message": ""}}
        told = {"status": "RUNNING", "message": "", "deployments": deployments}
        return {"applications": {one["name"]: {"name": one["name"], **told} for one in config.get("applications", [])}}


@contextmanager
def serve_dashboard() -> Iterator[Dashboard]:
    """A dashboard, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(json.dumps(dashboard.details()).encode())

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            dashboard.configs.append((self.path, json.loads(body)))
            self._answer(b"{}")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: KubeRay asks every two seconds."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        dashboard = Dashboard(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield dashboard
        finally:
            server.shutdown()
            thread.join()
