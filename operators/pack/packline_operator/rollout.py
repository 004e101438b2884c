"""The next move of a rollout: a version to the gate, into shadow, step by step to all calls, or out.

Order matters: what a user asked comes first, then what protects callers (a refused or worse version goes, even while
the Pack is paused), then what moves a candidate on. One move at a time: each changes what the next is judged on.
"""

from __future__ import annotations

from datetime import datetime

from packline_core.manifest import Pack
from packline_core.units import parse_duration

from packline_operator.candidate_rules import candidate_move
from packline_operator.domain import Observed
from packline_operator.facts import (
    Decision,
    DecisionKind,
    Figures,
    GateOutcome,
    Registry,
    SlotState,
    VersionState,
)
from packline_operator.gate_rules import gate_to_start, to_judge
from packline_operator.judgement import Judgement, Verdict, judge_live
from packline_operator.moves import Move, Scene, decide
from packline_operator.reasons import Reason
from packline_operator.words import moment


def next_move(observed: Observed, now: datetime) -> Move:
    """Decides the next move; without a manifest or a registry there is none."""
    if observed.manifest is None or observed.registry is None:
        return Move(Reason.NOT_REGISTERED, "Training does not know the Pack yet.")
    scene = Scene(observed.manifest, observed.registry, observed, now)
    candidate = observed.registry.candidate
    return (
        _user_rollback(scene)
        or _pinned(scene)
        or (candidate_move(scene, candidate) if candidate else None)
        or _watched(scene)
        or _waiting(scene)
        or Move(Reason.NO_ROLLOUT, "No newer version waits.")
    )


def watched_promotion(pack: Pack, registry: Registry, now: datetime) -> Decision | None:
    """The promotion whose watch window is open."""
    activating = {DecisionKind.PROMOTE, DecisionKind.ROLL_BACK}
    last = next((decision for decision in registry.decisions if decision.kind in activating), None)
    if last is None or last.kind is not DecisionKind.PROMOTE or last.version != registry.active.name:
        return None
    return last if now - last.at < parse_duration(pack.spec.rollout.watch) else None


def _user_rollback(scene: Scene) -> Move | None:
    name, candidate = scene.registry.rollback_to, scene.registry.candidate
    if name == scene.registry.active.name and candidate is not None:
        message = f"A user called the rollout of {candidate.name} off."
        return decide(scene, DecisionKind.REJECT, candidate.name, Reason.USER_ROLLBACK, message)
    if not name or name == scene.registry.active.name:
        return None
    refusal = _no_return(scene.registry, name)
    if refusal:
        return Move(Reason.ROLLBACK_IMPOSSIBLE, refusal)
    return decide(scene, DecisionKind.ROLL_BACK, name, Reason.USER_ROLLBACK, f"A user asked for {name} back.")


def _pinned(scene: Scene) -> Move | None:
    pin = scene.pack.spec.model.pin
    if pin is None:
        return None
    if pin == scene.registry.active.name:
        return Move(Reason.PINNED, f"{pin} is pinned: no rollout.")
    refusal = _no_return(scene.registry, pin)
    if refusal:
        return Move(Reason.PINNED, f"spec.model.pin: {refusal}")
    return decide(scene, DecisionKind.ROLL_BACK, pin, Reason.PINNED, f"The manifest pins {pin}.")


def _no_return(registry: Registry, name: str) -> str:
    """Why a version cannot be made active again; empty where it can."""
    version = registry.version(name)
    if version is None:
        return f"There is no version {name}."
    if version.state is not VersionState.RETIRED:
        return f"{name} is {version.state.lower()}, and only a version that served before can be returned to."
    return ""


def _watched(scene: Scene) -> Move | None:
    """After a promotion: back to the previous version where the promoted one is worse than that one was."""
    registry, monitored = scene.registry, scene.observed.monitored
    promotion = watched_promotion(scene.pack, registry, scene.now)
    if promotion is None:
        return None
    previous = registry.previous
    if previous is not None and previous.state is VersionState.RETIRED and monitored is not None:
        before = monitored.before.get(previous.name, Figures())
        spec, figures = scene.pack.spec, scene.figures(registry.active.name)
        judgement = judge_live(figures, before, spec.rules, spec.objective.max_latency_ms)
        slots = [replica.active for replica in monitored.replicas if replica.active.digest == registry.active.digest]
        if died := next((slot for slot in slots if slot.state is SlotState.QUARANTINED), None):
            judgement = Judgement(Verdict.WORSE, Reason.BUNDLE_QUARANTINED, f"a replica died of it: {died.message}")
        if judgement.verdict is Verdict.WORSE and judgement.reason is not None:
            message = f"{registry.active.name} is worse than {previous.name} was: {judgement.message}."
            return decide(scene, DecisionKind.ROLL_BACK, previous.name, judgement.reason, message, reject_active=True)
    until = moment(promotion.at, parse_duration(scene.pack.spec.rollout.watch))
    waiting = to_judge(registry)
    follows = f"; {waiting.name} waits for that" if waiting else ""
    return Move(Reason.WAITS_FOR_WATCH, f"{registry.active.name} is watched until {until}{follows}.")


def _waiting(scene: Scene) -> Move | None:
    """The newest version that is not in rollout yet."""
    version = to_judge(scene.registry)
    if version is None:
        return None
    if scene.pack.spec.paused:
        return Move(Reason.PAUSED, f"Paused: {version.name} waits.")
    if version.digest in {v.digest for v in scene.registry.versions if v.state is VersionState.REJECTED}:
        message = f"{version.name} is a bundle that was rejected before ({version.digest})."
        return decide(scene, DecisionKind.REJECT, version.name, Reason.DIGEST_REJECTED, message)
    gate = version.gate
    if gate is None and version.state is VersionState.REGISTERED:
        start, message = gate_to_start(scene.pack.name, scene.registry, version, scene.now)
        return Move(Reason.GATE_STARTED if start else Reason.GATE_RUNNING, message, start)
    if gate is not None and gate.outcome is GateOutcome.FAILED:
        message = f"The gate did not let {version.name} pass: {gate.reason}"
        return decide(scene, DecisionKind.REJECT, version.name, Reason.GATE_FAILED, message)
    if gate is not None and gate.outcome is GateOutcome.TOO_FEW and scene.pack.spec.gate.on_small_golden == "reject":
        message = f"The gate had too few golden examples, and gate.onSmallGolden is reject: {gate.reason}"
        return decide(scene, DecisionKind.REJECT, version.name, Reason.GATE_TOO_FEW, message)
    others = {GateOutcome.SKIPPED: Reason.GATE_SKIPPED, GateOutcome.TOO_FEW: Reason.GATE_TOO_FEW}
    reason = others.get(gate.outcome, Reason.GATE_PASSED) if gate else Reason.GATE_PASSED
    message = f"{version.name} begins in shadow. {gate.reason if gate else ''}".strip()
    return decide(scene, DecisionKind.BEGIN_ROLLOUT, version.name, reason, message)
