"""The schema of a Pack's status: what `status_json` writes, field by field."""

from __future__ import annotations

from typing import Any

MAX_TEXT = 4096
MAX_HISTORY = 20
_MAX_CONDITIONS = 16
_MAX_VERSIONS = 16


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, "maxLength": MAX_TEXT, **more}


def _time(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "format": "date-time", "description": description, **more}


def _number(description: str) -> dict[str, Any]:
    return {"type": "integer", "format": "int64", "description": description}


_CONDITION = {
    "type": "object",
    "description": "One part of the Pack's state, as in all of Kubernetes.",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": _text("Ready (which sums up), Serving, RolledOut, Trained or Reconciled.", maxLength=316),
        "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is so."},
        "reason": _text("One of a closed set of words.", maxLength=1024),
        "message": _text("The same for people."),
        "lastTransitionTime": _time("Since when."),
        "observedGeneration": _number("The generation of the manifest that it speaks of."),
    },
}
_DECISION = {
    "type": "object",
    "description": "One decision.",
    "properties": {
        "at": _time("When it was taken."),
        "decision": _text("BeginRollout, Step, Promote, Reject or RollBack."),
        "version": _text("Of which version."),
        "weight": _number("Percent of the calls that the version answers from then on."),
        "reason": _text("One of a closed set of words."),
        "message": _text("The same for people."),
        "id": _text("Names the decision, so that it is taken once."),
        "revision": _number("The registry's count of decisions, this one included."),
    },
}
_LOOP = {
    "type": "object",
    "description": "What the operator needs to know of its last pass.",
    "properties": {
        "revision": _number("Decisions up to it have become events."),
        "runs": {
            "type": "array",
            "description": "The newest runs that have become events.",
            "maxItems": 4,
            "items": {"type": "string", "maxLength": MAX_TEXT},
        },
        "applied": _text("Names the configuration that was last seen in place as wanted."),
        "schedule": _text("The schedule that is in force."),
        "scheduleSince": _time("Since when; earlier times of it are not made up for.", nullable=True),
    },
}
STATUS: dict[str, Any] = {
    "type": "object",
    "description": "What became of the Pack; written by the operator alone.",
    "properties": {
        "observedGeneration": _number("The generation of the manifest that this speaks of."),
        "phase": _text("Pending, Idle, Shadow, Canary or Deleting."),
        "active": _text("The version that answers."),
        "candidate": _text("The version in rollout."),
        "traffic": {
            "type": "object",
            "description": "Version to percent of the calls.",
            "maxProperties": _MAX_VERSIONS,
            "additionalProperties": {"type": "integer"},
        },
        "conditions": {
            "type": "array",
            "description": "Ready sums up, and each of the others tells one part.",
            "maxItems": _MAX_CONDITIONS,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": _CONDITION,
        },
        "why": _text("How it came to this."),
        "next": _text("What will happen, and when."),
        "history": {
            "type": "array",
            "description": "The newest decisions, newest first.",
            "maxItems": MAX_HISTORY,
            "x-kubernetes-list-type": "atomic",
            "items": _DECISION,
        },
        "loop": _LOOP,
    },
}
