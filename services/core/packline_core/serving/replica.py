"""A replica of one Pack: what every task's Serve deployment does besides translating its own messages.

A task derives its servicer from `Replica`, calls `predict` in its RPC methods and binds the class in its `app.py`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from packline_core.config import Settings, load_settings
from packline_core.errors import Code, DeadlineExceeded, NotFound, PacklineError, Unavailable
from packline_core.rpc import Call
from packline_core.runtime import Runtime
from packline_core.serving.bundle_cache import BundleCache
from packline_core.serving.config import ServingConfig, Version, from_user_config
from packline_core.serving.health import HealthServicer
from packline_core.serving.preflight import preflight
from packline_core.serving.quarantine import Quarantine
from packline_core.serving.recorder import Entry, Kept, Recorder
from packline_core.serving.reporter import Reporter
from packline_core.serving.routing import goes_to_candidate, key_share
from packline_core.serving.shadow import ShadowBudget
from packline_core.serving.slots import Slot, Slots
from packline_core.task import Predictor, get_task

_log = logging.getLogger(__name__)
_SECONDS_BETWEEN_WATCHES = 2.0
_STUCK_SECONDS = 600.0
_WATCHES_BETWEEN_PRUNES = 300


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer, with what every response says about it."""

    prediction_id: str
    model_version: str
    results: Sequence[Any]


@dataclass(frozen=True, slots=True)
class _Work:
    """What `Predictor.prepare` is given."""

    payload: Any
    options: Mapping[str, Any]


class Replica(HealthServicer):
    """Base of a task's servicer.

    Attributes:
        prepare_inline: Whether `Predictor.prepare` takes so little that a thread would cost more.

    Args:
        pack: The Pack that it serves.
        task: The Pack's task.
        settings: This installation; from the environment where left out.
    """

    prepare_inline = False

    def __init__(self, pack: str, task: str, settings: Settings | None = None) -> None:
        self._slots: Slots | None = None
        self._recorder: Recorder | None = None
        self._reporter: Reporter | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._prepare_pool = ThreadPoolExecutor(2, thread_name_prefix="prepare")
        self.pack = pack
        self.task = get_task(task)
        self.settings = settings or load_settings()
        self.health_services = frozenset(_service_name(path) for path in self.task.grpc_servicers)
        self._config = ServingConfig(pack, task)
        self._cache = BundleCache(self.settings.cache)
        self._quarantine = Quarantine(self.settings.cache / "quarantine" / pack)
        self._shadows: set[asyncio.Task[None]] = set()
        self._budget = ShadowBudget()
        self._ids = _random_ids()

    @property
    def options(self) -> Mapping[str, Any]:
        """The task's own part of the manifest, as it is now."""
        return self._config.options

    def answer_json(self, results: Sequence[Any]) -> str:
        """The answer that `results` make, in the task's own JSON. Called outside of the event loop."""
        raise NotImplementedError

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Takes in new versions, weights and limits; called by Serve. Never raises for a bundle."""
        config = from_user_config(user_config)
        first = self._slots is None
        if self._slots is None:
            await self._start(config)
        assert self._slots is not None
        self._config = config
        await self._slots.apply(config)
        if first:
            _log.info("pack %s: %s", self.pack, self._slots.reports)

    async def predict(self, call: Call, *, pack: str, payload: Any, record: Kept = b"", **options: Any) -> Prediction:
        """Answers one call by the version that it falls to.

        Args:
            call: As `@rpc` gives it.
            pack: The Pack that the request names.
            payload: What `Predictor.prepare` takes.
            record: The payload for the prediction log: bytes, or what makes them outside of the event loop.
            options: Further arguments of `Predictor.prepare`.

        Raises:
            NotFound: The request is for another Pack.
            Unavailable: No version is loaded.
            Overloaded: Too many calls wait.
            DeadlineExceeded: The deadline passed before the work began.
            PacklineError: What the task said about the payload.
        """
        slot = self._choose(call, pack)
        prediction_id = next(self._ids)
        at, started = time.time(), time.perf_counter()
        version = slot.version.version
        work = _Work(payload, options)
        try:
            async with slot.held():
                results = await self._answer(slot, work, call.deadline)
        except Exception as error:
            self._record(
                Entry(prediction_id, version, at, time.perf_counter() - started, *_code(error)), record, prediction_id
            )
            raise
        latency = time.perf_counter() - started
        answer = partial(self.answer_json, results)
        self._record(Entry(prediction_id, version, at, latency, answer=answer), record, prediction_id)
        self._maybe_shadow(slot, work, prediction_id, answer)
        return Prediction(prediction_id, version, results)

    def is_serving(self) -> bool:
        """Whether an active version is loaded."""
        return self._slots is not None and self._slots.active is not None

    def check_health(self) -> None:
        """Called by Serve; raises where the replica must be replaced."""
        for slot in self._open_slots():
            if slot.batcher.stuck_seconds > _STUCK_SECONDS:
                raise Unavailable(
                    f"version {slot.version.version} has been busy with one batch for {_STUCK_SECONDS:.0f} s",
                    reason="STUCK",
                )

    async def drain(self) -> None:
        """Lets the calls in flight end, sends what is recorded, and closes everything; for servers other than Serve."""
        if self._watcher is not None:
            self._watcher.cancel()
        if self._slots is not None:
            await self._slots.close()
        if self._reporter is not None:
            await self._reporter.close()
        await asyncio.to_thread(self.__del__)

    def __del__(self) -> None:
        """Called by Serve once the calls in flight have ended: nobody is to blame for this death."""
        for slot in self._open_slots():
            self._quarantine.clear(slot.version.digest)
        if self._recorder is not None:
            self._recorder.close()
        self._prepare_pool.shutdown(wait=False)

    async def _start(self, config: ServingConfig) -> None:
        quarantined = await asyncio.to_thread(self._quarantine.settle)
        for digest in quarantined:
            _log.error("pack %s: bundle %s is quarantined: %s", self.pack, digest, self._quarantine.reason(digest))
        replica_id, node = _identity()
        if config.recording.enabled:
            spool = self.settings.spool / self.pack
            self._recorder = Recorder(self.pack, self.task, self.settings.address, spool, replica_id)
            self._reporter = Reporter(self.settings.address, self.pack, replica_id, node)
        self._slots = Slots(self._open, self._quarantine, probation=_probation(), changed=self._report)
        self._watcher = asyncio.create_task(self._watch())

    def _choose(self, call: Call, pack: str) -> Slot:
        if pack != self.pack:
            raise NotFound(
                f"no Pack {pack!r} is served here; check its name with `packline get packs`",
                reason="UNKNOWN_PACK",
                pack=pack[:63],
            )
        slots = self._slots
        active = None if slots is None else slots.active
        if slots is None or active is None:
            report = None if slots is None else slots.reports["active"]
            why = f": {report.reason}: {report.message}" if report is not None and report.reason else ""
            raise Unavailable(f"no version of Pack {self.pack} is loaded{why}", reason="NO_ACTIVE_VERSION")
        wanted, candidate = self._config.candidate, slots.candidate
        if (
            wanted is not None
            and wanted.weight > 0
            and candidate is not None
            and candidate.version.digest == wanted.digest
        ):
            share = key_share(call.request_key, self.pack) if call.request_key else random.random()
            if goes_to_candidate(share, wanted.weight):
                return candidate
        return active

    async def _answer(self, slot: Slot, work: _Work, deadline: float | None) -> list[Any]:
        if deadline is not None and deadline <= time.monotonic():
            raise DeadlineExceeded("the deadline had passed when the call arrived")
        prepare = partial(slot.predictor.prepare, work.payload, **work.options)
        if self.prepare_inline:
            items = prepare()
        else:
            items = await asyncio.get_running_loop().run_in_executor(self._prepare_pool, prepare)
        return await slot.batcher.submit(items, deadline)

    def _record(self, entry: Entry, payload: Kept, key: str) -> None:
        if self._recorder is None:
            return
        if (payload or entry.shadow_of) and key_share(key, "payload") < self._config.recording.payload_share:
            entry = replace(entry, payload=payload, kept=True)
        self._recorder.put(entry)

    def _maybe_shadow(self, answered_by: Slot, work: _Work, prediction_id: str, answer: Callable[[], str]) -> None:
        slots, wanted = self._slots, self._config.candidate
        if slots is None or wanted is None or not wanted.shadow or answered_by is not slots.active:
            return
        candidate = slots.candidate
        if candidate is None or candidate.version.digest != wanted.digest or self._shadows:
            return
        if answered_by.batcher.idle or self._budget.allows():
            task = asyncio.create_task(self._shadow(candidate, work, prediction_id, answer))
            self._shadows.add(task)
            task.add_done_callback(self._shadows.discard)

    async def _shadow(self, slot: Slot, work: _Work, shadow_of: str, other: Callable[[], str]) -> None:
        at, started = time.time(), time.perf_counter()
        entry = Entry(next(self._ids), slot.version.version, at, 0.0, shadow_of=shadow_of)
        try:
            async with slot.held():
                results = await self._answer(slot, work, None)
            entry = replace(entry, answer=partial(self.answer_json, results), other=other)
        except PacklineError as error:
            entry = replace(entry, code=int(error.code), reason=error.reason)
        except Exception:  # a candidate's failure is a figure of the rollout, and no caller's affair
            _log.exception("candidate %s failed in shadow", slot.version.version)
            entry = replace(entry, code=int(Code.INTERNAL), reason="INTERNAL")
        seconds = time.perf_counter() - started
        self._budget.spend(seconds)
        self._record(replace(entry, latency=seconds), b"", shadow_of)

    def _open(self, version: Version) -> Predictor:
        """Fetches, verifies, tries and loads a bundle. Runs in a thread."""
        bundle = self._cache.fetch(version.uri, version.digest)
        limits = self._config.limits
        runtime = Runtime(self.settings.providers, limits.threads or self.settings.threads)
        preflight(bundle, self.task.name, runtime, verdicts=self.settings.cache / "verdicts")
        predictor = self.task.load(bundle, runtime)
        for reference in bundle.manifest.references[:1]:  # the first call shall not pay for what is made on first use
            predictor.answer(bundle.path(reference.payload).read_bytes())
        return predictor

    async def _watch(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_WATCHES)
            rounds += 1
            try:
                assert self._slots is not None
                self._slots.watch()
                self._report(changed=False)
                if rounds % _WATCHES_BETWEEN_PRUNES == 1:
                    await asyncio.to_thread(self._tend_cache)
            except Exception:  # the replica serves on, whatever its housekeeping meets
                _log.exception("housekeeping of pack %s failed", self.pack)

    def _tend_cache(self) -> None:
        digests = frozenset(slot.version.digest for slot in self._open_slots())
        for digest in digests:
            self._cache.touch(digest)
        self._cache.prune(digests)

    def _report(self, *, changed: bool = True) -> None:
        if self._reporter is not None and self._slots is not None:
            self._reporter.report(self._slots.reports["active"], self._slots.reports["candidate"], now=changed)

    def _open_slots(self) -> list[Slot]:
        slots = self._slots
        return [] if slots is None else [slot for slot in (slots.active, slots.candidate) if slot is not None]


def _random_ids() -> Iterator[str]:
    """Ids that nobody can guess, drawn many at a time: each by itself takes ten times as long."""
    while True:
        drawn = os.urandom(4096)
        for start in range(0, len(drawn), 16):
            yield drawn[start : start + 16].hex()


def _code(error: Exception) -> tuple[int, str]:
    return (int(error.code), error.reason) if isinstance(error, PacklineError) else (int(Code.INTERNAL), "INTERNAL")


def _service_name(servicer: str) -> str:
    """`packline.ocr.v1.ocr_pb2_grpc.add_OcrServiceServicer_to_server` -> `packline.ocr.v1.OcrService`."""
    module, _, function = servicer.rpartition(".")
    package = module.rpartition(".")[0]
    return f"{package}.{function.removeprefix('add_').removesuffix('Servicer_to_server')}"


def _probation() -> tuple[float, int]:
    """Shortened by tests, which cannot wait a minute for a candidate to prove sound."""
    return float(os.environ.get("PACKLINE_PROBATION_SECONDS", "60")), 20


def _identity() -> tuple[str, str]:
    """This replica's id as Serve's REST API has it, and its node; of its own making outside of Serve."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        context = serve.get_replica_context()
    except RayServeException:
        return uuid.uuid4().hex[:8], socket.gethostname()
    return str(context.replica_id.unique_id), socket.gethostname()
