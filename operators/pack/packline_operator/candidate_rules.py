"""What becomes of the version in rollout: rejected, held, or one step on."""

from __future__ import annotations

from datetime import timedelta

from packline_core.units import parse_duration

from packline_operator.facts import (
    DecisionKind,
    GateOutcome,
    Phase,
    SlotState,
    Version,
)
from packline_operator.judgement import Judgement, Verdict, judge_live, judge_shadow
from packline_operator.moves import Move, Scene, decide
from packline_operator.reasons import Reason
from packline_operator.serving import readiness
from packline_operator.words import duration, moment


def candidate_move(scene: Scene, version: Version) -> Move:
    """The next move of `version`, which is in rollout.

    Who is refused or worse goes, also while the Pack is paused. Who is to go on needs every replica ready, and then its
    time, its calls, figures that are clear, and a gate that could judge; a user's approval stands for these four.
    """
    ready = readiness(scene.observed, version)
    if ready.refused is not None:
        quarantined = ready.refused.state is SlotState.QUARANTINED
        reason = Reason.BUNDLE_QUARANTINED if quarantined else Reason.BUNDLE_REFUSED
        words = "A replica died soon after it opened" if quarantined else "A replica refused"
        message = f"{words} {version.name}: {ready.refused.message or ready.refused.reason or 'no reason given'}"
        return decide(scene, DecisionKind.REJECT, version.name, reason, message)
    spec = scene.pack.spec
    figures, active = scene.figures(version.name), scene.figures(scene.registry.active.name)
    judgement = (
        judge_shadow(figures, active, spec.rules)
        if scene.registry.phase is Phase.SHADOW
        else judge_live(figures, active, spec.rules, spec.objective.max_latency_ms)
    )
    if judgement.verdict is Verdict.WORSE and judgement.reason is not None:
        message = f"{version.name} is worse: {judgement.message}."
        return decide(scene, DecisionKind.REJECT, version.name, judgement.reason, message)
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


def _held(scene: Scene, version: Version, judgement: Judgement) -> Move | None:
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


def _onward(scene: Scene, version: Version, reason: Reason, because: str) -> Move:
    steps = scene.pack.spec.rollout.steps
    index = next((index for index, step in enumerate(steps) if step.weight > scene.weight), None)
    if index is None:
        message = f"{because}: {version.name} answers all calls."
        return decide(scene, DecisionKind.PROMOTE, version.name, reason, message)
    share = steps[index].weight
    message = f"{because}: {version.name} answers {share} % of the calls."
    # The registry's step only grows; the manifest's steps may have become fewer meanwhile.
    step = max(index, scene.registry.step + 1) if scene.registry.phase is Phase.CANARY else index
    return decide(scene, DecisionKind.STEP, version.name, reason, message, step=step, weight=share)


def _calls(scene: Scene, version: Version) -> int:
    figures = scene.figures(version.name)
    return figures.shadow_requests if scene.registry.phase is Phase.SHADOW else figures.requests


def _hold(scene: Scene) -> timedelta:
    """How long the present phase lasts at least, also where the manifest's steps have changed since it began."""
    rules = scene.pack.spec.rollout
    if scene.registry.phase is Phase.SHADOW:
        return parse_duration(rules.shadow)
    holds = [parse_duration(step.hold) for step in rules.steps if step.weight == scene.weight]
    return holds[0] if holds else max((parse_duration(step.hold) for step in rules.steps), default=timedelta(0))


def _goal(scene: Scene) -> str:
    share = next((step.weight for step in scene.pack.spec.rollout.steps if step.weight > scene.weight), None)
    return "is promoted" if share is None else f"goes to {share} % of the calls"


def _done(scene: Scene, version: Version) -> str:
    where = "in shadow" if scene.registry.phase is Phase.SHADOW else f"at {scene.weight} %"
    return f"It did well {where} for {duration(scene.elapsed)} and {_calls(scene, version)} calls"
