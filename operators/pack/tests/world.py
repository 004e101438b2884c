"""A Pack's world without processes: the real rules of the registry, and a Serve, replicas and a monitoring that obey.

It plays the peers of the loop's core, so that thousands of histories can be run in a second.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from packline_core.errors import PacklineError
from packline_core.manifest import Pack, parse_pack
from packline_operator.domain import (
    Action,
    ApplyServing,
    Decide,
    ForgetPack,
    Observed,
    RegisterPack,
    RemovePack,
    StartRun,
    Status,
)
from packline_operator.facts import (
    Decision,
    DecisionKind,
    Figures,
    Gate,
    GateOutcome,
    Latency,
    Monitored,
    Peer,
    Phase,
    Registry,
    Replica,
    Run,
    RunKind,
    RunState,
    Serving,
    Slot,
    SlotState,
    Version,
    VersionState,
)
from packline_operator.reconcile import reconcile
from packline_training import decisions as rules
from packline_training import domain as truth

START = datetime(2026, 1, 5, tzinfo=UTC)
EMPTY = Slot(SlotState.EMPTY)
_LATENCY = Latency(10, 20, 40)


def manifest(**spec: Any) -> Pack:
    base: dict[str, Any] = {
        "task": "echo",
        "rollout": {
            "shadow": "10m",
            "steps": [{"weight": 10, "hold": "10m"}, {"weight": 50, "hold": "10m"}],
            "minRequests": 100,
            "watch": "30m",
        },
        "training": {"triggers": {"corrections": 10}, "cooldown": "1h"},
    }
    return parse_pack(
        {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "p"}, "spec": base | spec}
    )


@dataclass(frozen=True)
class Quality:
    """What a version is like: shares of its calls that fail or get corrected, agreement, what gate and replicas say."""

    errors: float = 0.0
    corrected: float = 0.0
    agreement: float = 0.95
    slow: float = 1.0
    gate: GateOutcome = GateOutcome.PASSED
    refused: str = ""

    @property
    def good(self) -> bool:
        worse = self.errors > 0.05 or self.corrected > 0.1 or self.agreement < 0.3 or self.slow > 2
        return not worse and not self.refused and self.gate is not GateOutcome.FAILED


@dataclass
class World:
    """Everything outside the loop. `status` is what the loop wrote last."""

    pack: Pack = field(default_factory=manifest)
    now: datetime = START
    state: truth.PackState | None = None
    registered: str = ""
    decided: list[Decision] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    qualities: dict[str, Quality] = field(default_factory=dict)
    config: Mapping[str, Any] | None = None
    puts: int = 0
    replicas: dict[str, Replica] = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    past: dict[str, Figures] = field(default_factory=dict)
    corrections: int = 0
    status: Status | None = None
    unreachable: set[Peer] = field(default_factory=set)
    deleting: bool = False
    removed: bool = False
    told: dict[str, str] = field(default_factory=dict)
    weights: list[int] = field(default_factory=list)

    # What the loop sees.

    def observe(self) -> Observed:
        return Observed(
            name="p",
            manifest=self.pack,
            deleting=self.deleting,
            status=self.status,
            registry=None if Peer.TRAINING in self.unreachable or self.state is None else self._registry(self.state),
            monitored=None if Peer.MONITORING in self.unreachable else self._monitored(),
            serving=None
            if Peer.SERVE in self.unreachable
            else Serving(self.config, "RUNNING" if self.config else "", "", frozenset(self.replicas)),
            unreachable={peer: f"{peer} is silent" for peer in self.unreachable},
        )

    def _registry(self, state: truth.PackState) -> Registry:
        versions = {name: _version(version) for name, version in state.versions.items()}
        return Registry(
            spec=parse_pack(self.registered).spec.model_dump(mode="json", by_alias=True, exclude_unset=True),
            revision=state.revision,
            active=versions[state.active],
            phase=Phase[state.phase.name],
            since=state.since,
            previous=versions.get(state.previous),
            candidate=versions.get(state.candidate),
            step=state.step,
            weight=state.weight,
            approved_version=state.approved,
            rollback_to=state.rollback_to,
            last_training_at=state.last_training_at,
            trained_corrections=state.trained_corrections,
            versions=tuple(reversed(versions.values())),
            runs=tuple(reversed(self.runs.values())),
            decisions=tuple(reversed(self.decided)),
        )

    def _monitored(self) -> Monitored:
        return Monitored(self.corrections, dict(self.figures), dict(self.past), tuple(self.replicas.values()))

    # What the loop does.

    def loop(self, crash_after: int | None = None) -> bool:
        """One pass; a crash after some actions loses the status and the events. Returns whether anything was done."""
        observed = self.observe()
        outcome = reconcile(observed, self.now)
        assert reconcile(observed, self.now) == outcome, "the same observation must give the same outcome"
        done = 0
        for action in outcome.actions:
            if done == crash_after:
                return True
            try:
                self.execute(action)
            except PacklineError:
                break
            done += 1
        if crash_after is None:
            for event in outcome.events:
                self.told.setdefault(event.key, str(event.reason))
            self.status = outcome.status
        return done > 0

    def execute(self, action: Action) -> None:
        match action:
            case RegisterPack(text):
                self.registered = text
                if self.state is None:
                    base = truth.Version(1, "sha256:v1", truth.VersionState.ACTIVE, "base", "base", self.now, "v1")
                    self.state = truth.PackState("p", "echo", 1, "v1", self.now, {"v1": base})
            case StartRun():
                self._start(action)
            case Decide():
                self._decide(action)
            case ApplyServing(config):
                self.puts += 1
                self.config = copy.deepcopy(config)
                self.replicas = {} if config is None else self.replicas or {"r1": Replica("r1", EMPTY, EMPTY)}
            case ForgetPack(peer):
                assert self.config is None
                if peer is Peer.TRAINING:
                    self.state = None
            case RemovePack():
                assert self.state is None
                self.removed = True

    def _start(self, action: StartRun) -> None:
        assert self.state is not None
        if action.run_id not in self.runs:
            in_progress = [run for run in self.runs.values() if run.in_progress]
            assert not [run for run in in_progress if run.kind is action.kind], "two runs of a kind at once"
            self.runs[action.run_id] = Run(
                action.run_id, action.kind, RunState.RUNNING, action.reason, self.now, action.version
            )

    def _decide(self, action: Decide) -> None:
        assert self.state is not None
        if action.decision_id in {decision.decision_id for decision in self.decided}:
            return
        if action.kind in {DecisionKind.STEP, DecisionKind.PROMOTE}:
            digest = self.state.version(action.version).digest
            slots = [replica.candidate for replica in self.replicas.values()]
            assert slots, "weight moved though no replica runs"
            assert all(s.state is SlotState.READY and s.digest == digest for s in slots), "weight moved too early"
        decision = truth.Decision(
            action.decision_id,
            truth.DecisionKind[action.kind.name],
            action.version,
            action.expected_revision,
            action.reason,
            action.message,
            action.step,
            action.weight,
            action.reject_active,
        )
        before = self.state
        self.state = rules.decide(self.state, decision, self.now)
        self.weights.append(self.state.weight)
        self.decided.append(
            Decision(
                action.decision_id, action.kind, action.version, action.reason, action.message, self.now,
                self.state.revision, action.weight,
            )
        )  # fmt: skip
        if before.active != self.state.active:
            self.past = self.figures
        self.figures = {}

    # What goes on outside.

    def register(self, quality: Quality) -> str:
        assert self.state is not None
        number = len(self.state.versions) + 1
        name = f"v{number}"
        version = truth.Version(
            number, f"sha256:{name}", truth.VersionState.REGISTERED, "published", "base", self.now, name
        )
        self.state = rules.accept(self.state, version)
        self.qualities[name] = quality
        return name

    def end_runs(self, quality: Quality | None = None, state: RunState = RunState.SUCCEEDED) -> None:
        """Ends whatever runs; a training makes a version of this quality."""
        for run in [run for run in self.runs.values() if run.in_progress]:
            assert self.state is not None
            message = ""
            if run.kind is RunKind.TRAIN:
                if state is RunState.SUCCEEDED and quality is not None:
                    message = f"{self.register(quality)} was trained"
                trained = self.corrections if state is RunState.SUCCEEDED else self.state.trained_corrections
                self.state = replace(self.state, last_training_at=self.now, trained_corrections=trained)
            elif state is RunState.SUCCEEDED:
                self._judge(run)
            self.runs[run.run_id] = replace(run, state=state, ended_at=self.now, message=message)

    def _judge(self, run: Run) -> None:
        assert self.state is not None
        version = self.state.version(run.version)
        if version.state is not truth.VersionState.REGISTERED:
            return
        outcome = self.qualities[version.name].gate
        passed = outcome in {GateOutcome.PASSED, GateOutcome.SKIPPED} or (
            outcome is GateOutcome.TOO_FEW and self.pack.spec.gate.on_small_golden != "reject"
        )
        gate = truth.GateResult(truth.GateOutcome[outcome.name], "as measured", "score", self.now, self.state.active)
        state = truth.VersionState.PASSED if passed else truth.VersionState.REGISTERED
        self.state = self.state.with_version(replace(version, state=state, gate=gate))

    def load(self) -> None:
        """Every replica opens what Serve's configuration tells it to."""
        if self.config is None:
            return
        told = self.config["deployments"][0]["user_config"]
        for name in self.replicas:
            active = Slot(SlotState.READY, told["active"]["version"], told["active"]["digest"])
            self.replicas[name] = Replica(name, active, self._slot(told["candidate"]))

    def _slot(self, candidate: Mapping[str, Any] | None) -> Slot:
        if candidate is None:
            return EMPTY
        refused = self.qualities[candidate["version"]].refused
        state = {"": SlotState.READY, "QUARANTINED": SlotState.QUARANTINED}.get(refused, SlotState.REFUSED)
        return Slot(state, candidate["version"], candidate["digest"], refused)

    def send(self, calls: int) -> None:
        """Callers call; each version answers its share as Serve's configuration has it."""
        if self.config is None or not self.replicas:
            return
        told = self.config["deployments"][0]["user_config"]
        candidate = told["candidate"]
        weight = candidate["weight"] if candidate else 0
        if candidate and candidate["shadow"]:
            self._count(candidate["version"], 0, calls)
        elif candidate:
            self._count(candidate["version"], calls * weight // 100, 0)
        self._count(told["active"]["version"], calls - calls * weight // 100, 0)

    def _count(self, version: str, live: int, shadow: int) -> None:
        quality, old = self.qualities.get(version, Quality()), self.figures.get(version, Figures())
        latency = Latency(_LATENCY.p50 * quality.slow, _LATENCY.p90 * quality.slow, _LATENCY.p99 * quality.slow)
        requests, shadows = old.requests + live, old.shadow_requests + shadow
        self.figures[version] = Figures(
            requests, round(requests * quality.errors), shadows, round(shadows * quality.errors), latency,
            quality.agreement, round(requests * quality.corrected),
        )  # fmt: skip

    def live(self, minutes: float, calls: int = 500, quality: Quality | None = None) -> None:
        """Time goes by with everything well: runs end, replicas load, callers call, the loop passes."""
        for _ in range(4):
            self.now += timedelta(minutes=minutes / 4)
            self.end_runs(quality or Quality())
            self.load()
            self.send(calls // 4)
            self.loop()
            self.load()


def _version(version: truth.Version) -> Version:
    gate = version.gate and Gate(GateOutcome[version.gate.outcome.name], version.gate.reason)
    state = VersionState[version.state.name]
    return Version(version.name, version.digest, state, f"memory://{version.name}", version.created_at, gate)
