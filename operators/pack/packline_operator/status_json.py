"""A status as JSON, in the form of a Kubernetes status: what `status.json` and the Pack object hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from packline_operator.domain import Condition, Status
from packline_operator.facts import Decision, DecisionKind


def status_to_json(status: Status) -> dict[str, Any]:
    """Plain values."""
    return {
        "observedGeneration": status.observed_generation,
        "phase": status.phase,
        "active": status.active,
        "candidate": status.candidate,
        "traffic": dict(status.traffic),
        "conditions": [
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": condition.last_transition.isoformat(),
                "observedGeneration": condition.observed_generation,
            }
            for condition in status.conditions
        ],
        "why": status.why,
        "next": status.next,
        "history": [
            {
                "at": decision.at.isoformat(),
                "decision": str(decision.kind),
                "version": decision.version,
                "weight": decision.weight,
                "reason": decision.reason,
                "message": decision.message,
                "id": decision.decision_id,
                "revision": decision.revision,
            }
            for decision in status.history
        ],
        "loop": {
            "revision": status.revision,
            "runs": list(status.runs),
            "applied": status.applied,
            "schedule": status.schedule,
            "scheduleSince": status.schedule_since.isoformat() if status.schedule_since else None,
        },
    }


def status_from_json(raw: Mapping[str, Any] | None) -> Status | None:
    """Reads it back; None where there is none, or none that this version understands."""
    if raw is None:
        return None
    try:
        loop = raw["loop"]
        return Status(
            phase=raw["phase"],
            observed_generation=raw["observedGeneration"],
            active=raw["active"],
            candidate=raw["candidate"],
            traffic=dict(raw["traffic"]),
            conditions=tuple(_condition(condition) for condition in raw["conditions"]),
            why=raw["why"],
            next=raw["next"],
            history=tuple(_decision(decision) for decision in raw["history"]),
            revision=loop["revision"],
            runs=tuple(loop["runs"]),
            applied=loop["applied"],
            schedule=loop["schedule"],
            schedule_since=datetime.fromisoformat(loop["scheduleSince"]) if loop["scheduleSince"] else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _condition(raw: Mapping[str, Any]) -> Condition:
    return Condition(
        type=raw["type"],
        status=raw["status"],
        reason=raw["reason"],
        message=raw["message"],
        last_transition=datetime.fromisoformat(raw["lastTransitionTime"]),
        observed_generation=raw["observedGeneration"],
    )


def _decision(raw: Mapping[str, Any]) -> Decision:
    return Decision(
        decision_id=raw["id"],
        kind=DecisionKind(raw["decision"]),
        version=raw["version"],
        reason=raw["reason"],
        message=raw["message"],
        at=datetime.fromisoformat(raw["at"]),
        revision=raw["revision"],
        weight=raw["weight"],
    )
