"""Two versions side by side in one replica: active, and the candidate of a rollout; swapped without a restart.

What is wanted is given as a whole (`apply`). Bundles are opened in the background while the old ones go on answering; a
bundle that cannot be opened changes nothing but the report. A version that is no longer wanted answers the calls that
it holds and is closed then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum

from packline_core.errors import BundleRejected, PacklineError, StorageFull, is_disk_full
from packline_core.serving.batcher import Batcher
from packline_core.serving.config import Limits, ServingConfig, Version
from packline_core.serving.quarantine import Quarantine, Role
from packline_core.task import Predictor

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 10.0
_DRAIN_SECONDS = 120.0

Open = Callable[[Version], Predictor]


class SlotState(Enum):
    """As in `packline.monitoring.v1.SlotState`."""

    EMPTY = 1
    LOADING = 2
    READY = 3
    REFUSED = 4
    QUARANTINED = 5


@dataclass(frozen=True, slots=True)
class SlotReport:
    """What one slot holds, or why it does not hold what was asked."""

    state: SlotState = SlotState.EMPTY
    version: str = ""
    digest: str = ""
    reason: str = ""
    message: str = ""


class Slot:
    """One open version."""

    def __init__(self, version: Version, predictor: Predictor, limits: Limits) -> None:
        self.version = version
        self.predictor = predictor
        self.batcher = Batcher(predictor.predict, limits, version.version)
        self.opened = time.monotonic()
        self.answered = 0
        self._calls = 0
        self._free = asyncio.Event()
        self._free.set()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Keeps the version open for the length of a call."""
        self._calls += 1
        self._free.clear()
        try:
            yield
            self.answered += 1
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._free.set()

    async def close(self) -> None:
        """Closes it once the calls that it holds have ended, or after two minutes."""
        try:
            await asyncio.wait_for(self._free.wait(), _DRAIN_SECONDS)
        except TimeoutError:
            _log.warning("version %s is closed with %d calls in flight", self.version.version, self._calls)
        self.batcher.close()
        await asyncio.to_thread(self._close_idle)

    def _close_idle(self) -> None:
        self.batcher.join()
        self.predictor.close()


class Slots:
    """The versions of one replica. All methods belong to one event loop.

    Args:
        opener: Fetches, verifies, tries and loads a bundle; runs in a thread. Raises `PacklineError`.
        quarantine: Where openings are noted.
        probation: Seconds and answered calls after which an opened version counts as sound.
        changed: Called when a report changed.
    """

    def __init__(
        self,
        opener: Open,
        quarantine: Quarantine,
        *,
        probation: tuple[float, int] = (60.0, 20),
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._open = opener
        self._quarantine = quarantine
        self._probation = probation
        self._changed = changed
        self._wanted: ServingConfig | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._on_probation: set[Slot] = set()
        self.active: Slot | None = None
        self.candidate: Slot | None = None
        self.reports: dict[Role, SlotReport] = {"active": SlotReport(), "candidate": SlotReport()}

    async def apply(self, config: ServingConfig) -> None:
        """Makes `config` what is wanted. Never raises for a bundle.

        Returns at once where something answers already; the first time it waits until active answers, or cannot.
        """
        self._wanted = config
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._converge())
        if self.active is None:
            await asyncio.wait({self._task})

    def watch(self) -> None:
        """Called every few seconds: ends probations, lets go of a candidate that killed a replica beside this one."""
        for slot in list(self._on_probation):
            seconds, calls = self._probation
            if time.monotonic() - slot.opened >= seconds and slot.answered >= calls:
                self._on_probation.discard(slot)
                self._quarantine.clear(slot.version.digest)
        candidate = self.candidate
        if candidate is not None and (reason := self._quarantine.reason(candidate.version.digest)):
            self._retire(candidate)
            self.candidate = None
            self._report("candidate", SlotState.QUARANTINED, candidate.version, "QUARANTINED", reason)

    async def close(self) -> None:
        """Lets the calls in flight end, and closes everything."""
        if self._task is not None:
            self._task.cancel()
        for slot in (self.active, self.candidate):
            if slot is not None:
                self._retire(slot)
        self.active = self.candidate = None
        if self._closing:
            await asyncio.wait(set(self._closing))

    async def _converge(self) -> None:
        while True:
            wanted = self._wanted
            assert wanted is not None
            self._let_go(wanted)
            soon = await self._fill("active", wanted.active, wanted)
            soon = await self._fill("candidate", wanted.candidate, wanted) or soon
            if wanted is not self._wanted:
                continue
            if not soon:
                return
            # The store or the disk may be better later; a newer wish interrupts the wait.
            for _ in range(int(_RETRY_SECONDS / 0.2)):
                await asyncio.sleep(0.2)
                if wanted is not self._wanted:
                    break

    def _let_go(self, wanted: ServingConfig) -> None:
        """The part of a change that needs no opening, done in one step: a promotion is a change of roles."""
        held = {slot.version.digest: slot for slot in (self.active, self.candidate) if slot is not None}
        before = {slot for slot in (self.active, self.candidate) if slot is not None}
        if wanted.active is None:
            self.active = None
            self._report("active", SlotState.EMPTY)
        elif wanted.active.digest in held:
            self.active = self._named(held[wanted.active.digest], wanted.active, "active")
        if wanted.candidate is None:
            self.candidate = None
            self._report("candidate", SlotState.EMPTY)
        elif wanted.candidate.digest in held and held[wanted.candidate.digest] is not self.active:
            self.candidate = self._named(held[wanted.candidate.digest], wanted.candidate, "candidate")
        elif self.candidate is not None and (
            self.candidate is self.active or self.candidate.version.digest != wanted.candidate.digest
        ):
            self.candidate = None
        for slot in before - {self.active, self.candidate}:
            self._retire(slot)

    def _named(self, slot: Slot, version: Version, role: Role) -> Slot:
        slot.version = version
        if slot in self._on_probation:
            self._quarantine.opening(version.digest, role)
        self._report(role, SlotState.READY, version)
        return slot

    async def _fill(self, role: Role, version: Version | None, wanted: ServingConfig) -> bool:
        """Opens what `role` lacks; True where it is worth another try later."""
        slot = self.active if role == "active" else self.candidate
        if version is None or (slot is not None and slot.version.digest == version.digest):
            return False
        if reason := self._quarantine.reason(version.digest):
            self._report(role, SlotState.QUARANTINED, version, "QUARANTINED", reason)
            return False
        self._report(role, SlotState.LOADING, version)
        try:
            predictor = await asyncio.to_thread(self._open_marked, version, role)
        except BundleRejected as error:
            self._report(role, SlotState.REFUSED, version, error.reason, error.message)
            return False
        except PacklineError as error:
            self._report(role, SlotState.LOADING, version, error.reason, error.message)
            return True
        except OSError as error:  # the marker cannot be written, so nothing may be opened
            reason = StorageFull.default_reason if is_disk_full(error) else "DISK_ERROR"
            self._report(role, SlotState.LOADING, version, reason, f"this node's cache has no room: {error}")
            return True
        except Exception as error:  # a bundle may make a library raise anything, and active must not blink
            _log.exception("bundle %s cannot be opened", version.digest)
            message = f"it cannot be opened: {type(error).__name__}: {error}"
            self._report(role, SlotState.REFUSED, version, "OPEN_FAILED", message)
            return False
        opened = Slot(version, predictor, wanted.limits)
        self._on_probation.add(opened)
        if wanted is not self._wanted and not self._still_wanted(version):
            self._retire(opened)
            return False
        if role == "active":
            old, self.active = self.active, opened
        else:
            old, self.candidate = self.candidate, opened
        self._report(role, SlotState.READY, version)
        if old is not None and old is not (self.candidate if role == "active" else self.active):
            self._retire(old)
        return False

    def _open_marked(self, version: Version, role: Role) -> Predictor:
        predictor: Predictor | None = None
        self._quarantine.opening(version.digest, role)
        try:
            predictor = self._open(version)
            return predictor
        finally:
            if predictor is None:
                self._quarantine.clear(version.digest)

    def _still_wanted(self, version: Version) -> bool:
        wanted = self._wanted
        versions = (wanted.active, wanted.candidate) if wanted else ()
        return any(other is not None and other.digest == version.digest for other in versions)

    def _retire(self, slot: Slot) -> None:
        task = asyncio.create_task(self._close_drained(slot))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_drained(self, slot: Slot) -> None:
        await slot.close()
        self._on_probation.discard(slot)
        if slot.version.digest not in {s.version.digest for s in (self.active, self.candidate) if s is not None}:
            self._quarantine.clear(slot.version.digest)

    def _report(
        self, role: Role, state: SlotState, version: Version | None = None, reason: str = "", message: str = ""
    ) -> None:
        report = SlotReport(state, reason=reason, message=message)
        if version is not None:
            report = replace(report, version=version.version, digest=version.digest)
        if report != self.reports[role]:
            self.reports[role] = report
            if reason:
                _log.warning("%s %s is not served: %s: %s", role, report.version, reason, message)
            self._changed()
