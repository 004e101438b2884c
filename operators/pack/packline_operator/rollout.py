"""The next move of a rollout: a version to the gate, into shadow, step by step to all calls, or out.

Order matters: what a user asked comes first, then what protects callers (a refused or worse version goes, even while
the Pack is paused), then what moves a candidate on. One move at a time: each changes what the next is judged on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from packline_core.manifest import Pack
from packline_core.units import parse_duration

from packline_operator.domain import (
    Decide,
    Decision,
    DecisionKind,
    Figures,
    GateOutcome,
    Observed,
    Phase,
    Registry,
    SlotState,
    StartRun,
    Version,
    VersionState,
)
from packline_operator.gate_rules import gate_to_start, to_judge
from packline_operator.judgement import Judgement, Verdict, judge_live, judge_shadow
from packline_operator.reasons import Reason
from packline_operator.serving import readiness
from packline_operator.words import duration, moment


@dataclass(frozen=True, slots=True)
class Move:
    """What to do now, if anything, and why nothing more is done."""

    reason: Reason
    message: str
    action: Decide | StartRun | None = None


@dataclass(frozen=True, slots=True)
class _Scene:
    """A Pack that has both a manifest and a registry."""

    pack: Pack
    registry: Registry
    observed: Observed
    now: datetime

    @property
    def elapsed(self) -> timedelta:
        """Since phase or step last changed; negative where the clock was set back, and then nothing has been held."""
        return self.now - self.registry.since

    @property
    def weight(self) -> int:
        """Of the candidate, in percent."""
        return self.registry.weight if self.registry.phase is Phase.CANARY else 0

    def figures(self, version: str) -> Figures:
        """A version's, since `registry.since`."""
        monitored = self.observed.monitored
        return Figures() if monitored is None else monitored.figures.get(version, Figures())


def next_move(observed: Observed, now: datetime) -> Move:
    """Decides the next move; without a manifest or a registry there is none."""
    if observed.manifest is None or observed.registry is None:
        return Move(Reason.NOT_REGISTERED, "Training does not know the Pack yet.")
    scene = _Scene(observed.manifest, observed.registry, observed, now)
    candidate = observed.registry.candidate
    return (
        _user_rollback(scene)
        or _pinned(scene)
        or (_candidate(scene, candidate) if candidate else None)
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


def _user_rollback(scene: _Scene) -> Move | None:
    name, candidate = scene.registry.rollback_to, scene.registry.candidate
    if name == scene.registry.active.name and candidate is not None:
        message = f"A user called the rollout of {candidate.name} off."
        return _decide(scene, DecisionKind.REJECT, candidate.name, Reason.USER_ROLLBACK, message)
    if not name or name == scene.registry.active.name:
        return None
    refusal = _no_return(scene.registry, name)
    if refusal:
        return Move(Reason.ROLLBACK_IMPOSSIBLE, refusal)
    return _decide(scene, DecisionKind.ROLL_BACK, name, Reason.USER_ROLLBACK, f"A user asked for {name} back.")


def _pinned(scene: _Scene) -> Move | None:
    pin = scene.pack.spec.model.pin
    if pin is None:
        return None
    if pin == scene.registry.active.name:
        return Move(Reason.PINNED, f"{pin} is pinned: no rollout.")
    refusal = _no_return(scene.registry, pin)
    if refusal:
        return Move(Reason.PINNED, f"spec.model.pin: {refusal}")
    return _decide(scene, DecisionKind.ROLL_BACK, pin, Reason.PINNED, f"The manifest pins {pin}.")


def _no_return(registry: Registry, name: str) -> str:
    """Why a version cannot be made active again; empty where it can."""
    version = registry.version(name)
    if version is None:
        return f"There is no version {name}."
    if version.state is not VersionState.RETIRED:
        return f"{name} is {version.state.lower()}, and only a version that served before can be returned to."
    return ""


def _candidate(scene: _Scene, version: Version) -> Move:
    ready = readiness(scene.observed, version)
    if ready.refused is not None:
        quarantined = ready.refused.state is SlotState.QUARANTINED
        reason = Reason.BUNDLE_QUARANTINED if quarantined else Reason.BUNDLE_REFUSED
        words = "A replica died soon after it opened" if quarantined else "A replica refused"
        message = f"{words} {version.name}: {ready.refused.message or ready.refused.reason or 'no reason given'}"
        return _decide(scene, DecisionKind.REJECT, version.name, reason, message)
    judge = judge_shadow if scene.registry.phase is Phase.SHADOW else judge_live
    active = scene.figures(scene.registry.active.name)
    judgement = judge(scene.figures(version.name), active, scene.pack.spec.rollout)
    if judgement.verdict is Verdict.WORSE and judgement.reason is not None:
        message = f"{version.name} is worse: {judgement.message}."
        return _decide(scene, DecisionKind.REJECT, version.name, judgement.reason, message)
    if scene.pack.spec.paused:
        return Move(Reason.PAUSED, f"Paused: {version.name} stays where it is.")
    if scene.observed.monitored is None or scene.observed.serving is None:
        silent = " and ".join(sorted(scene.observed.unreachable)) or "a peer"
        return Move(Reason.PEER_UNREACHABLE, f"{version.name} waits: {silent} cannot be reached.")
    if ready.trouble is not None:
        return Move(Reason.WAITS_FOR_REPLICAS, f"A replica cannot load {version.name}: {ready.trouble.message}")
    if not ready.all_ready:
        count = f"{ready.ready} of {ready.live} replicas hold it" if ready.live else "no replica runs"
        return Move(Reason.WAITS_FOR_REPLICAS, f"{version.name} waits for the replicas: {count}.")
    if scene.registry.approved_version == version.name:
        return _onward(scene, version, Reason.APPROVED, "A user approved it")
    return _held(scene, version, judgement) or _onward(scene, version, Reason.HELD, _done(scene, version))


def _held(scene: _Scene, version: Version, judgement: Judgement) -> Move | None:
    """Why a candidate that could move stays; None where its time has come."""
    rules, elapsed, calls = scene.pack.spec.rollout, scene.elapsed, _calls(scene, version)
    if elapsed < _hold(scene):
        when = moment(scene.registry.since, _hold(scene))
        return Move(Reason.HOLDING, f"{version.name} {_goal(scene)} at {when} if nothing speaks against it.")
    too_long = elapsed > parse_duration(rules.max_hold)
    if calls < rules.min_requests:
        # In tenths, so that not every call changes the status.
        seen = f"{calls - calls % max(1, rules.min_requests // 10)} of the {rules.min_requests} calls that a step needs"
        if not too_long:
            return Move(Reason.WAITS_FOR_REQUESTS, f"{version.name} {_goal(scene)} after more calls: {seen} so far.")
        return Move(
            Reason.TOO_LITTLE_TRAFFIC,
            f"{version.name} has seen {seen} since {moment(scene.registry.since)}, longer than maxHold "
            f"({rules.max_hold}): "
            "send it traffic, lower rollout.minRequests, or approve it.",
        )
    if judgement.verdict is Verdict.UNCLEAR:
        long = f" It lasts longer than maxHold ({rules.max_hold}): approve or reject it." if too_long else ""
        message = f"{version.name} waits for more calls: {judgement.message}, which may be chance.{long}"
        return Move(Reason.WAITS_FOR_CLARITY, message)
    gate, small = version.gate, scene.pack.spec.gate.on_small_golden
    if scene.weight == 0 and gate and gate.outcome is GateOutcome.TOO_FEW and small == "shadow":
        return Move(
            Reason.WAITS_FOR_APPROVAL,
            f"{version.name} did well in shadow, and the gate could not judge it ({gate.reason}): "
            f"`packline approve {scene.pack.name}` lets it go on.",
        )
    return None


def _onward(scene: _Scene, version: Version, reason: Reason, because: str) -> Move:
    steps = scene.pack.spec.rollout.steps
    index = next((index for index, step in enumerate(steps) if step.weight > scene.weight), None)
    if index is None:
        message = f"{because}: {version.name} answers all calls."
        return _decide(scene, DecisionKind.PROMOTE, version.name, reason, message)
    share = steps[index].weight
    message = f"{because}: {version.name} answers {share} % of the calls."
    # The registry's step only grows; the manifest's steps may have become fewer meanwhile.
    step = max(index, scene.registry.step + 1) if scene.registry.phase is Phase.CANARY else index
    return _decide(scene, DecisionKind.STEP, version.name, reason, message, step=step, weight=share)


def _watched(scene: _Scene) -> Move | None:
    """After a promotion: back to the previous version where the promoted one is worse than that one was."""
    registry, monitored = scene.registry, scene.observed.monitored
    promotion = watched_promotion(scene.pack, registry, scene.now)
    if promotion is None:
        return None
    previous = registry.previous
    if previous is not None and previous.state is VersionState.RETIRED and monitored is not None:
        before = monitored.before.get(previous.name, Figures())
        judgement = judge_live(scene.figures(registry.active.name), before, scene.pack.spec.rollout)
        slots = [replica.active for replica in monitored.replicas if replica.active.digest == registry.active.digest]
        if died := next((slot for slot in slots if slot.state is SlotState.QUARANTINED), None):
            judgement = Judgement(Verdict.WORSE, Reason.BUNDLE_QUARANTINED, f"a replica died of it: {died.message}")
        if judgement.verdict is Verdict.WORSE and judgement.reason is not None:
            message = f"{registry.active.name} is worse than {previous.name} was: {judgement.message}."
            return _decide(scene, DecisionKind.ROLL_BACK, previous.name, judgement.reason, message, reject_active=True)
    until = moment(promotion.at, parse_duration(scene.pack.spec.rollout.watch))
    waiting = to_judge(registry)
    follows = f"; {waiting.name} waits for that" if waiting else ""
    return Move(Reason.WAITS_FOR_WATCH, f"{registry.active.name} is watched until {until}{follows}.")


def _waiting(scene: _Scene) -> Move | None:
    """The newest version that is not in rollout yet."""
    version = to_judge(scene.registry)
    if version is None:
        return None
    if scene.pack.spec.paused:
        return Move(Reason.PAUSED, f"Paused: {version.name} waits.")
    if version.digest in {v.digest for v in scene.registry.versions if v.state is VersionState.REJECTED}:
        message = f"{version.name} is a bundle that was rejected before ({version.digest})."
        return _decide(scene, DecisionKind.REJECT, version.name, Reason.DIGEST_REJECTED, message)
    gate = version.gate
    if gate is None and version.state is VersionState.REGISTERED:
        start, message = gate_to_start(scene.pack.name, scene.registry, version, scene.now)
        return Move(Reason.GATE_STARTED if start else Reason.GATE_RUNNING, message, start)
    if gate is not None and gate.outcome is GateOutcome.FAILED:
        message = f"The gate did not let {version.name} pass: {gate.reason}"
        return _decide(scene, DecisionKind.REJECT, version.name, Reason.GATE_FAILED, message)
    if gate is not None and gate.outcome is GateOutcome.TOO_FEW and scene.pack.spec.gate.on_small_golden == "reject":
        message = f"The gate had too few golden examples, and gate.onSmallGolden is reject: {gate.reason}"
        return _decide(scene, DecisionKind.REJECT, version.name, Reason.GATE_TOO_FEW, message)
    others = {GateOutcome.SKIPPED: Reason.GATE_SKIPPED, GateOutcome.TOO_FEW: Reason.GATE_TOO_FEW}
    reason = others.get(gate.outcome, Reason.GATE_PASSED) if gate else Reason.GATE_PASSED
    message = f"{version.name} begins in shadow. {gate.reason if gate else ''}".strip()
    return _decide(scene, DecisionKind.BEGIN_ROLLOUT, version.name, reason, message)


def _decide(
    scene: _Scene,
    kind: DecisionKind,
    version: str,
    reason: Reason,
    message: str,
    *,
    step: int = 0,
    weight: int = 0,
    reject_active: bool = False,
) -> Move:
    # The revision is part of the id: the same decision on the same state is one decision, however often it is sent.
    decide = Decide(
        decision_id=f"{scene.pack.name}-{scene.registry.revision}-{kind}-{version}",
        expected_revision=scene.registry.revision,
        kind=kind,
        version=version,
        reason=reason,
        message=message,
        step=step,
        weight=weight,
        reject_active=reject_active,
    )
    return Move(reason, message, decide)


def _calls(scene: _Scene, version: Version) -> int:
    figures = scene.figures(version.name)
    return figures.shadow_requests if scene.registry.phase is Phase.SHADOW else figures.requests


def _hold(scene: _Scene) -> timedelta:
    """How long the present phase lasts at least, also where the manifest's steps have changed since it began."""
    rules = scene.pack.spec.rollout
    if scene.registry.phase is Phase.SHADOW:
        return parse_duration(rules.shadow)
    holds = [parse_duration(step.hold) for step in rules.steps if step.weight == scene.weight]
    return holds[0] if holds else max((parse_duration(step.hold) for step in rules.steps), default=timedelta(0))


def _goal(scene: _Scene) -> str:
    share = next((step.weight for step in scene.pack.spec.rollout.steps if step.weight > scene.weight), None)
    return "is promoted" if share is None else f"goes to {share} % of the calls"


def _done(scene: _Scene, version: Version) -> str:
    where = "in shadow" if scene.registry.phase is Phase.SHADOW else f"at {scene.weight} %"
    return f"It did well {where} for {duration(scene.elapsed)} and {_calls(scene, version)} calls"
