"""`/healthz` and `/metrics` on one port."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

_log = logging.getLogger(__name__)


def serve_health(port: int, healthy: Callable[[], bool]) -> ThreadingHTTPServer:
    """Serves both in a thread of its own.

    Args:
        port: 0 picks one.
        healthy: Whether the operator works.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
            elif self.path == "/healthz":
                well = healthy()
                self._answer(200 if well else 503, b"ok\n" if well else b"hangs\n", "text/plain")
            else:
                self._answer(404, b"/healthz or /metrics\n", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            _log.debug(format, *args)

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
