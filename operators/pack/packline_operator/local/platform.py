"""Keeps one machine's Ray alive and the loop going, until told to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from packline_core.config import Settings
from packline_core.errors import PacklineError
from packline_core.fleet.api import FleetApi
from packline_core.fleet.local_ray import RayOptions, RunningRay, find_ray, start_ray, stop_ray
from packline_core.fleet.schema import Network
from packline_core.packs import PackFiles

from packline_operator.facts import Pool
from packline_operator.local.files import FileSource
from packline_operator.loop import Loop
from packline_operator.peers import Monitoring, Training
from packline_operator.serve_fleet import ServeFleet

_log = logging.getLogger(__name__)
_POLL = 0.1
_AFTER_ACTION, _WHILE_UNSETTLED, _WHILE_SETTLED = 0.2, 1.0, 2.0
# How long a living Ray may leave its REST API unanswered before it is started anew.
_SILENCE = 180.0
_AFTER_ERROR = 5.0
_DRAIN = 5.0


class Platform:
    """One machine's platform.

    Args:
        settings: The installation.
        clock: The loop's time.
        die_after: See `act.DIE_AFTER`.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], die_after: int = 0) -> None:
        self._settings = settings
        self._clock = clock
        self._die_after = die_after
        self._files = PackFiles(settings.packs, clock)

    def run(self) -> NoReturn:
        """Runs until a signal's exception ends it; a Ray that was lost is started again.

        Raises:
            PacklineError: The first start failed. Later ones are tried again.
        """
        ray = self._ray()
        while True:
            try:
                self._loop_on(ray)
                ray = self._ray()
            except Exception:  # callers are served on while the loop looks for its feet
                _log.exception("the loop goes on in %.0f s", _AFTER_ERROR)
                time.sleep(_AFTER_ERROR)

    def stop(self) -> None:
        """Lets the calls in flight end, and then ends Ray."""
        ray = find_ray(self._settings.home)
        if ray is not None:
            try:
                self._fleet(ray).drain(_DRAIN)
            except PacklineError as error:
                _log.info("nothing drained: %s", error.message)
        count = stop_ray(self._settings.home)
        _log.info("stopped: %d processes of the fleet ended", count)

    def _ray(self) -> RunningRay:
        ray = find_ray(self._settings.home)
        if ray is not None:
            # An earlier loop was killed and its Ray serves on: callers shall not notice.
            _log.info("the fleet runs at %s", ray.address)
            return ray
        _log.info("the fleet starts")
        ray = start_ray(self._settings)
        _log.info("the fleet started at %s", ray.address)
        return ray

    def _loop_on(self, ray: RunningRay) -> None:
        """Passes over the Packs until this Ray is gone."""
        training, monitoring = Training(ray.address), Monitoring(ray.address)
        loop = Loop(
            source=FileSource(self._files),
            fleet=self._fleet(ray),
            training=training,
            monitoring=monitoring,
            clock=self._clock,
            die_after=self._die_after,
        )
        answered = time.monotonic()
        try:
            while True:
                seen = self._files.fingerprint()
                result = loop.run_pass()
                if result.fleet_error is None:
                    answered = time.monotonic()
                elif find_ray(self._settings.home) is None:
                    _log.warning("the fleet died: %s", result.fleet_error.message)
                    return
                elif time.monotonic() - answered > _SILENCE:
                    _log.warning("the fleet is silent and started anew: %s", result.fleet_error.message)
                    stop_ray(self._settings.home)
                    return
                wait = _AFTER_ACTION if result.acted else _WHILE_SETTLED if result.settled else _WHILE_UNSETTLED
                self._sleep(wait, seen)
        finally:
            training.close()
            monitoring.close()

    def _sleep(self, seconds: float, seen: object) -> None:
        """Waits, but not once a manifest has changed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._files.fingerprint() == seen:
            time.sleep(min(_POLL, left))

    def _fleet(self, ray: RunningRay) -> ServeFleet:
        api = FleetApi.of(ray.settings(self._settings))
        network = Network(grpc_port=ray.ports.grpc, http_port=ray.ports.http)
        return ServeFleet(api, network, {name: Pool() for name in RayOptions().pools})
