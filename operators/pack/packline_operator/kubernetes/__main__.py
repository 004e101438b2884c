"""`python -m packline_operator.kubernetes`: the loop as an operator, in the foreground, until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import kopf
import kubernetes
from packline_core.errors import NotFound, PacklineError

from packline_operator.clock import OFFSET_FILE, Clock
from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.fleet import services_path
from packline_operator.kubernetes.fleets import Fleets
from packline_operator.kubernetes.health import serve_health
from packline_operator.kubernetes.lease import Lease
from packline_operator.kubernetes.settings import OperatorSettings, load_operator_settings
from packline_operator.kubernetes.source import packs_path
from packline_operator.kubernetes.watch import watch

_log = logging.getLogger("packline_operator.kubernetes")


def main() -> int:
    """Runs the operator; returns the exit status."""
    level = os.environ.get("PACKLINE_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = load_operator_settings()
        client = _client()
        _check_types(settings, Api(client))
    except PacklineError as error:
        _log.error("%s", error.message)
        return 1
    stop, ready = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    offset_file = os.environ.get(OFFSET_FILE)
    lease = Lease(Api(client), settings.own_namespace, settings.identity, settings.lease_seconds)
    clock = Clock(Path(offset_file) if offset_file else None)
    fleets = Fleets(settings, Api(client, lease.guard), clock, lease.guard)
    watcher = threading.Thread(
        target=watch, args=(fleets.cache, settings.namespaces, stop, ready, kopf.login_via_client), name="watch"
    )
    server = serve_health(settings.port, lambda: watcher.is_alive() and fleets.healthy())
    watcher.start()
    leading = threading.Thread(target=lease.run, args=(lambda: _act(fleets, settings, stop), _leave), name="lease")
    leading.start()
    while not stop.wait(0.5):
        if not watcher.is_alive():
            # kopf has given up; whoever started this process starts it anew.
            _log.error("the watch ended")
            stop.set()
    lease.stop()
    server.shutdown()
    leading.join()
    watcher.join(10)
    return 0


def _act(fleets: Fleets, settings: OperatorSettings, stop: threading.Event) -> None:
    """Runs beside the lease's renewal, which must not wait for it."""

    def run() -> None:
        started = False
        while not stop.is_set():
            try:
                if started:
                    fleets.resync()
                else:
                    fleets.act()
                    started = True
                stop.wait(settings.resync_seconds)
            except PacklineError as error:
                _log.warning("not listed: %s", error.message)
                stop.wait(2)

    threading.Thread(target=run, name="resync", daemon=True).start()


def _leave() -> None:
    # At once, whatever threads are about to do: a peer acts now. Killed anywhere, the loop harms nothing.
    os._exit(3)


def _client() -> kubernetes.client.ApiClient:
    config: Any = kubernetes.config
    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config()
        except config.ConfigException as error:
            raise NotFound(f"no cluster: {error}", reason="NO_CLUSTER") from None
    configuration = kubernetes.client.Configuration.get_default_copy()
    configuration.connection_pool_maxsize = 64
    return kubernetes.client.ApiClient(configuration)


def _check_types(settings: OperatorSettings, api: Api) -> None:
    """Both kinds are to be there: a watch of a kind that is not would wait for it in silence."""
    namespace = settings.namespaces[0] if settings.namespaces else ""
    for path, words in (
        (packs_path(namespace), "the CRD packs.packline.dev"),
        (services_path(namespace), "KubeRay's CRD rayservices.ray.io"),
    ):
        try:
            api.get(f"{path}?limit=1")
        except NotFound:
            raise NotFound(f"{words} is not installed", reason="CRD_MISSING") from None


if __name__ == "__main__":
    sys.exit(main())
