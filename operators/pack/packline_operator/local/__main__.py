"""`python -m packline_operator.local`: the platform of one machine, in the foreground.

It starts Ray, puts training and monitoring into it, and loops over the Packs below `PACKLINE_HOME` until SIGTERM or
SIGINT. Killed, it leaves Ray serving; started again, it goes on where it was.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from packline_core.config import load_settings
from packline_core.errors import PacklineError

from packline_operator.act import DIE_AFTER
from packline_operator.clock import OFFSET_FILE, Clock
from packline_operator.local.lock import only_one
from packline_operator.local.platform import Platform

_log = logging.getLogger("packline_operator.local")


def main() -> int:
    """Runs the platform; returns the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    settings = load_settings()
    offset_file = os.environ.get(OFFSET_FILE)
    clock = Clock(Path(offset_file) if offset_file else None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        with only_one(settings.home):
            platform = Platform(settings, clock, int(os.environ.get(DIE_AFTER, "0")))
            try:
                platform.run()
            finally:
                # Once: a second signal must not break off what the first one asked for.
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
                platform.stop()
    except PacklineError as error:
        _log.error("%s", error.message)
        return 1


def _leave(number: int, _frame: object) -> None:
    _log.info("%s: stopping", signal.Signals(number).name)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
