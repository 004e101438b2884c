"""From the registry's truth to the Pack's application in the fleet's configuration, and how far the replicas are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packline_core.fleet.schema import PackApplication, pack_application
from packline_core.manifest import Pack
from packline_core.serving.config import Candidate, Limits, Recording, ServingConfig
from packline_core.serving.config import Version as Held
from packline_core.units import parse_gpus, parse_percent

from packline_operator.domain import Observed
from packline_operator.facts import Phase, Registry, Replica, Slot, SlotState, Version


def application(pack: Pack, registry: Registry) -> dict[str, Any]:
    """The Pack's application as it should stand in the fleet's configuration.

    A pinned Pack serves its active version alone, whatever rollout it was in.
    """
    spec = pack.spec
    config = ServingConfig(
        pack=pack.name,
        task=spec.task,
        active=_held(registry.active),
        candidate=None if spec.model.pin else _candidate(registry),
        options=spec.options,
        recording=Recording(payload_share=parse_percent(spec.recording.payload_share)),
        limits=Limits(max_queue=spec.serving.max_queue, threads=spec.serving.threads),
    )
    replicas = spec.serving.replicas
    gpus = parse_gpus(spec.serving.gpus)
    return pack_application(PackApplication(config, spec.serving.pool, replicas.min, replicas.max, gpus))


def traffic(registry: Registry, pinned: bool) -> dict[str, int]:
    """Version -> percent of the calls."""
    candidate = registry.candidate
    if candidate is None or registry.phase is not Phase.CANARY or pinned:
        return {registry.active.name: 100}
    return {registry.active.name: 100 - registry.weight, candidate.name: registry.weight}


def digest(config: Mapping[str, Any]) -> str:
    """Names a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def differences(found: Any, wanted: Any, path: str = "application") -> Iterator[str]:
    """Where a configuration is not as wanted, in words. Serve gives back what it was given, defaults left out."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted({*wanted, *found}):
            yield from differences(found.get(key), wanted.get(key), f"{path}.{key}")
    elif _is_list(wanted) and _is_list(found) and len(wanted) == len(found):
        for index, value in enumerate(wanted):
            yield from differences(found[index], value, f"{path}[{index}]")
    elif found != wanted:
        yield f"{path} is {_short(found)} where {_short(wanted)} is wanted"


@dataclass(frozen=True, slots=True)
class Readiness:
    """How far the replicas are with a candidate.

    Attributes:
        live: Replicas that run.
        ready: Of those, the ones that hold the candidate's digest ready.
        refused: A slot that refused or quarantined it: the bundle's own fault.
        trouble: A slot that could not take it yet for another reason, such as a full disk.
    """

    live: int
    ready: int
    refused: Slot | None = None
    trouble: Slot | None = None

    @property
    def all_ready(self) -> bool:
        """Whether weight may move: there is a replica, and none lacks the candidate."""
        return self.live > 0 and self.ready == self.live


def readiness(observed: Observed, candidate: Version) -> Readiness:
    """Compares Serve's own list of replicas with what replicas reported to monitoring."""
    reports: Sequence[Replica] = observed.monitored.replicas if observed.monitored else ()
    live = observed.serving.replicas if observed.serving else frozenset()
    slots = {report.replica_id: report.candidate for report in reports if report.candidate.digest == candidate.digest}
    bad = {SlotState.REFUSED, SlotState.QUARANTINED}
    return Readiness(
        live=len(live),
        ready=sum(1 for replica in live if replica in slots and slots[replica].state is SlotState.READY),
        refused=next((slot for slot in slots.values() if slot.state in bad), None),
        trouble=next((slot for slot in slots.values() if slot.state is SlotState.LOADING and slot.reason), None),
    )


def _candidate(registry: Registry) -> Candidate | None:
    version = registry.candidate
    if version is None or registry.phase is Phase.IDLE:
        return None
    shadow = registry.phase is Phase.SHADOW
    return Candidate(version.name, version.digest, version.uri, 0 if shadow else registry.weight, shadow)


def _held(version: Version) -> Held:
    return Held(version.name, version.digest, version.uri)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
