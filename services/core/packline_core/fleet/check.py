"""Whether the fleet at an address serves Packline's own services: `python -m packline_core.fleet.check HOST:PORT`.

It ends with 0 where they answer their health checks, and tells otherwise which does not: the chart's `helm test`.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.errors import Unavailable
from packline_core.fleet.ready import wait_answered

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Whether a fleet serves Packline's own services.")
    parser.add_argument("address", help="host:port of the fleet's gRPC ingress")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds")
    asked = parser.parse_args(arguments)
    try:
        wait_answered(asked.address, TRAINING_APPLICATION, MONITORING_APPLICATION, timeout=asked.timeout)
    except Unavailable as error:
        _log.error("%s: %s", asked.address, error.message)
        return 1
    _log.info("%s: training and monitoring serve", asked.address)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    raise SystemExit(main())
