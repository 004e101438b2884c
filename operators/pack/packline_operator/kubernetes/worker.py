"""One fleet's thread: passes over the Packs of one namespace that are due, for as long as the operator acts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from packline_core.errors import PacklineError

from packline_operator.kubernetes import metrics
from packline_operator.kubernetes.agenda import FLEET, Agenda
from packline_operator.loop import Loop

_AFTER_ERROR = 5.0
_log = logging.getLogger(__name__)


class Worker(threading.Thread):
    """A thread.

    Args:
        namespace: The fleet's.
        packs: Names of its Packs, as seen now.
        open_loop: Gives the loop over the fleet as it is now, the same one as long as the fleet is the same.
        agenda: What is due.
    """

    def __init__(
        self, namespace: str, packs: Callable[[], list[str]], open_loop: Callable[[], Loop], agenda: Agenda
    ) -> None:
        super().__init__(name=f"fleet-{namespace}", daemon=True)
        self.namespace = namespace
        self.agenda = agenda
        # When it last was about to wait: a thread that hangs is not healthy.
        self.beat = time.monotonic()
        self._packs = packs
        self._open_loop = open_loop
        self._ended = threading.Event()

    def end(self) -> None:
        """Ends it after the pass that is under way."""
        self._ended.set()
        self.agenda.wake(None)

    def run(self) -> None:
        """Passes until `end`."""
        while not self._ended.is_set():
            self.beat = time.monotonic()
            try:
                self._pass()
            except Exception:  # whatever one fleet's peers do, its Packs have their next turn
                metrics.PASS_ERRORS.labels(self.namespace).inc()
                _log.exception("%s: the pass failed; the next one in %.0f s", self.namespace, _AFTER_ERROR)
                self._ended.wait(_AFTER_ERROR)
            self.agenda.sleep()

    def _pass(self) -> None:
        names = self._packs()
        due = self.agenda.take(names)
        metrics.PACKS.labels(self.namespace).set(len(names))
        metrics.QUEUE.labels(self.namespace).set(len(due - {FLEET}))
        if not due:
            return
        with metrics.PASS_SECONDS.labels(self.namespace).time():
            try:
                result = self._open_loop().run_pass(due)
            except PacklineError as error:
                _log.warning("%s: %s", self.namespace, error.message)
                self.agenda.looked(due, (), due)
                return
        metrics.RECONCILED.labels(self.namespace).inc(len(due - {FLEET}))
        metrics.QUEUE.labels(self.namespace).set(0)
        waiting = {*result.waiting, FLEET} if result.fleet_error else result.waiting
        self.agenda.looked(due, result.moving, waiting)
