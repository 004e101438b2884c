"""The life of a Pack as the registry tells it, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from packline_client import Client
from packline_client.training_types import Decision, DecisionKind, Run, RunKind

from examples.ocr.report.facts import Moment, MomentKind, Share, Timeline

_KINDS: dict[DecisionKind, MomentKind] = {
    DecisionKind.BEGIN_ROLLOUT: "shadow",
    DecisionKind.STEP: "canary",
    DecisionKind.PROMOTE: "promoted",
    DecisionKind.REJECT: "refused",
    DecisionKind.ROLL_BACK: "rolled_back",
}


def timeline(client: Client, pack: str, started_at: datetime, more: Iterable[Moment] = ()) -> Timeline:
    """What happened to a Pack since `started_at`; `more` are moments that the registry does not know."""
    decisions = sorted(client.training.decisions(pack, limit=100), key=lambda decision: decision.revision)
    runs = client.training.runs(pack, limit=100)
    moments = [*more, *(_decided(decision) for decision in decisions), *_ran(runs)]
    moments.sort(key=lambda moment: moment.at)
    shares = tuple(_shares(decisions, started_at))
    return Timeline(pack, started_at, datetime.now(UTC), tuple(moments), shares)


def _decided(decision: Decision) -> Moment:
    assert decision.at is not None
    on_its_way = decision.kind is DecisionKind.REJECT and decision.reason.startswith("More")
    kind: MomentKind = "rolled_back" if on_its_way else _KINDS[decision.kind]
    return Moment(decision.at, kind, decision.message)


def _ran(runs: Sequence[Run]) -> Iterable[Moment]:
    for run in runs:
        kind: MomentKind = "training" if run.kind is RunKind.TRAIN else "gate"
        if run.started_at is not None and run.kind is RunKind.TRAIN:
            yield Moment(run.started_at, kind, f"Training began: {run.reason}.")
        if run.ended_at is not None:
            yield Moment(run.ended_at, kind, run.message)


def _shares(decisions: Sequence[Decision], started_at: datetime) -> Iterable[Share]:
    active, candidate = "v1", ""
    yield Share(started_at, {active: 100})
    for decision in decisions:
        assert decision.at is not None
        if decision.kind in {DecisionKind.PROMOTE, DecisionKind.ROLL_BACK}:
            active, candidate = decision.version, ""
        elif decision.kind is DecisionKind.STEP:
            candidate = decision.version
            yield Share(decision.at, {active: 100 - decision.weight, candidate: decision.weight})
            continue
        elif decision.version == candidate:
            candidate = ""
        yield Share(decision.at, {active: 100})
