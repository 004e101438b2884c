"""A move of a rollout, and what every rule looks at to find one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from packline_core.manifest import Pack

from packline_operator.domain import Decide, Observed, StartRun
from packline_operator.facts import (
    DecisionKind,
    Figures,
    Phase,
    Registry,
)
from packline_operator.reasons import Reason


@dataclass(frozen=True, slots=True)
class Move:
    """What to do now, if anything, and why nothing more is done."""

    reason: Reason
    message: str
    action: Decide | StartRun | None = None


@dataclass(frozen=True, slots=True)
class Scene:
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


def decide(
    scene: Scene,
    kind: DecisionKind,
    version: str,
    reason: Reason,
    message: str,
    *,
    step: int = 0,
    weight: int = 0,
    reject_active: bool = False,
) -> Move:
    """A move that is a decision.

    Args:
        scene: What it is decided on.
        kind: What is decided.
        version: About which version.
        reason: One of the closed set.
        message: For people.
        step: Of `rollout.steps`; for a step.
        weight: Percent of the calls; for a step.
        reject_active: Whether the version that is left never returns; for a rollback.
    """
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
