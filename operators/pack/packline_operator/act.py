"""Does what was decided, one action at a time; one that fails is remembered and tried again, ever more rarely."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from packline_core.errors import Conflict, PacklineError

from packline_operator.domain import Action, ApplyServing, Decide, ForgetPack, RegisterPack, RemovePack, StartRun
from packline_operator.facts import Peer
from packline_operator.peers import Monitoring, Training

_log = logging.getLogger(__name__)
_FIRST_WAIT = timedelta(seconds=1)
_LAST_WAIT = timedelta(minutes=1)
# For tests alone: the process kills itself (SIGKILL) after so many actions, as if the machine had failed there.
DIE_AFTER = "PACKLINE_DIE_AFTER_ACTIONS"


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    times: int
    again: datetime


@dataclass
class Failures:
    """Of one Pack: what failed, and when it is tried again."""

    _by_action: dict[str, _Failure] = field(default_factory=dict)

    def told(self) -> Mapping[str, str]:
        """Action -> why it failed."""
        return {name: failure.message for name, failure in self._by_action.items()}

    def waits(self, action: Action, now: datetime) -> bool:
        """Whether it is too early to try the action again; never where the clock was set back."""
        failure = self._by_action.get(_name(action))
        return failure is not None and timedelta(0) < failure.again - now <= _LAST_WAIT

    def failed(self, action: Action, error: PacklineError, now: datetime) -> None:
        """Notes a failure."""
        before = self._by_action.get(_name(action))
        times = before.times + 1 if before else 1
        wait = min(_LAST_WAIT, _FIRST_WAIT * 2 ** min(times - 1, 10))
        message = f"{_name(action)} failed: {error.message}"
        self._by_action[_name(action)] = _Failure(message, times, now + wait)

    def keep_only(self, actions: Sequence[Action]) -> None:
        """Forgets failures of what is no longer to be done."""
        wanted = {_name(action) for action in actions}
        self._by_action = {name: failure for name, failure in self._by_action.items() if name in wanted}


class Actor:
    """Carries actions out.

    Args:
        training: Where registry and runs are.
        monitoring: For forgetting.
        apply_serving: Takes a Pack's application into the fleet's configuration, or out of it.
        remove: Lets a Pack's declaration go.
        die_after: See `DIE_AFTER`; 0 means never.
        guard: Called before each action; raises `PacklineError` where this loop must not act any more.
    """

    def __init__(
        self,
        training: Training,
        monitoring: Monitoring,
        apply_serving: Callable[[str, ApplyServing], None],
        remove: Callable[[str], None],
        *,
        die_after: int = 0,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._training = training
        self._monitoring = monitoring
        self._apply_serving = apply_serving
        self._remove = remove
        self._die_after = die_after
        self._guard = guard
        self._done = 0

    def act(self, pack: str, actions: Sequence[Action], failures: Failures, now: datetime) -> bool:
        """Does a Pack's actions in their order up to the first that fails; returns whether anything was done."""
        failures.keep_only(actions)
        done = False
        for action in actions:
            if failures.waits(action, now):
                break
            try:
                self._do(pack, action)
            except Conflict as error:
                # Somebody else decided in between: not a failure, the next pass looks again.
                _log.info("%s: %s: %s", pack, _name(action), error.message)
                break
            except PacklineError as error:
                _log.warning("%s: %s failed: %s", pack, _name(action), error.message)
                failures.failed(action, error, now)
                break
            failures.keep_only([other for other in actions if other is not action])
            done = True
            self._count()
        return done

    def _do(self, pack: str, action: Action) -> None:
        self._guard()
        _log.info("%s: %s", pack, _name(action))
        match action:
            case RegisterPack(manifest_json):
                self._training.register(pack, manifest_json)
            case StartRun():
                self._training.start_run(pack, action)
            case Decide():
                self._training.decide(pack, action)
            case ApplyServing():
                self._apply_serving(pack, action)
            case ForgetPack(Peer.TRAINING):
                self._training.forget(pack)
            case ForgetPack():
                self._monitoring.forget(pack)
            case RemovePack():
                self._remove(pack)

    def _count(self) -> None:
        self._done += 1
        if self._done == self._die_after:
            os.kill(os.getpid(), signal.SIGKILL)


def _name(action: Action) -> str:
    match action:
        case StartRun(run_id=run_id):
            return f"StartRun {run_id}"
        case Decide(kind=kind, version=version):
            return f"Decide {kind} {version}"
        case ForgetPack(peer):
            return f"ForgetPack in {peer}"
        case _:
            return type(action).__name__
