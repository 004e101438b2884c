"""What people are told of a Pack, and the figures of `top`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from packline.monitoring.v1 import monitoring_pb2
from packline.training.v1 import training_pb2 as pb
from packline_client.convert import from_proto
from packline_client.describe import Registry, sentences
from packline_client.monitoring import Comparison, Replica
from packline_client.overview import pack_figures
from packline_client.packview import PackView
from packline_client.training_types import Decision, PackState, Run, Version

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def view(**fields: object) -> PackView:
    given: dict[str, object] = {
        "name": "invoices",
        "task": "ocr",
        "ready": "True",
        "reason": "Running",
        "message": "1 replica runs.",
        "phase": "Canary",
        "active": "v1",
        "candidate": "v2",
        "traffic": {"v1": 90, "v2": 10},
        "why": "v2 passed the gate.",
        "next": "v2 gets 50 % at 12:10 UTC.",
        "created_at": NOW,
        "generation": 1,
        "observed_generation": 1,
    }
    return PackView(**{**given, **fields})  # type: ignore[arg-type]


def registry() -> Registry:
    version = pb.Version(version="v2", state=pb.VERSION_STATE_CANDIDATE)
    version.gate.outcome = pb.GATE_OUTCOME_PASSED
    version.gate.metric = "cer"
    version.gate.reason = "It is better on new pages."
    version.gate.new.CopyFrom(
        pb.GateSlice(examples=40, active=0.05, candidate=0.03, difference=-0.02, low=-0.03, high=-0.01)
    )
    run = pb.Run(run_id="r1", kind=pb.RUN_KIND_TRAIN, state=pb.RUN_STATE_RUNNING, percent=40, stage="trial 2 of 4")
    run.started_at.FromDatetime(NOW - timedelta(minutes=5))
    decision = pb.Decision(kind=pb.DECISION_KIND_STEP, version="v2", weight=10, message="It agreed in shadow.")
    decision.at.FromDatetime(NOW - timedelta(hours=2))
    return Registry(None, [from_proto(Version, version)], [from_proto(Run, run)], [from_proto(Decision, decision)])


def test_a_rollout_is_told_with_gate_run_and_decisions() -> None:
    events = [{"at": "2026-03-01T11:00:00Z", "key": "k", "reason": "GatePassed", "message": "v2 passed."}] * 2
    told = list(sentences(view(), registry(), events, NOW))
    assert told[:5] == [
        "invoices is a Pack of task ocr.",
        "v1 is active; calls are shared: v1 90%, v2 10%.",
        "v2 is in rollout (canary).",
        "Why: v2 passed the gate.",
        "Next: v2 gets 50 % at 12:10 UTC.",
    ]
    text = "\n".join(told)
    assert "The gate on v2: passed. It is better on new pages." in text
    assert "cer on 40 new golden examples: active 0.0500, candidate 0.0300, difference -0.0200" in text
    assert "90% interval -0.0300 to -0.0100" in text
    assert "Last run r1 (train, 5 minutes ago): running, 40% (trial 2 of 4)." in text
    assert "2 hours ago: step v2 to 10%. It agreed in shadow." in text
    assert text.count("GatePassed: v2 passed.") == 1


def test_a_pack_that_is_not_ready_says_why() -> None:
    waiting = view(
        ready="False",
        message="Nothing serves it yet.",
        active="",
        candidate="",
        traffic={},
        why="",
        next="",
        generation=2,
    )
    assert list(sentences(waiting, None, [], NOW)) == [
        "invoices is a Pack of task ocr.",
        "No version answers yet.",
        "Its newest manifest has not been taken in yet.",
        "It is not ready: Nothing serves it yet.",
    ]


def test_figures_of_active_candidate_and_an_earlier_version() -> None:
    state = pb.PackState(pack="invoices", task="ocr", phase=pb.PHASE_SHADOW)
    state.active.version, state.candidate.version = "v2", "v3"
    seen = monitoring_pb2.CompareVersionsResponse()
    two = seen.versions.add(model_version="v2", requests=120, errors=6, corrected=2)
    two.latency.p50.FromMilliseconds(80)
    two.latency.p90.FromMilliseconds(200)
    three = seen.versions.add(model_version="v3", shadow_requests=50, shadow_errors=5)
    three.shadow_latency.p50.FromMilliseconds(70)
    seen.versions.add(model_version="v1", requests=6)
    replica = monitoring_pb2.Replica(pack="invoices", replica_id="a")
    replica.active.version, replica.active.state = "v2", monitoring_pb2.SLOT_STATE_READY
    replica.candidate.version, replica.candidate.state = "v3", monitoring_pb2.SLOT_STATE_LOADING
    active, candidate, earlier = pack_figures(
        from_proto(PackState, state),
        from_proto(Comparison, seen),
        (from_proto(Replica, replica),),
        timedelta(seconds=60),
    )
    assert (active.version, active.role, active.traffic, active.ready, active.replicas) == ("v2", "active", 100, 1, 1)
    assert (active.per_second, active.errors, active.corrected) == (2.0, 0.05, 2)
    assert (active.p50, active.p90) == (timedelta(milliseconds=80), timedelta(milliseconds=200))
    assert (candidate.version, candidate.phase, candidate.traffic, candidate.ready) == ("v3", "shadow", 0, 0)
    assert (candidate.errors, candidate.p50, candidate.per_second) == (0.1, timedelta(milliseconds=70), 0.0)
    assert (earlier.version, earlier.role, earlier.per_second) == ("v1", "earlier", 0.1)


def test_what_users_took_is_told_with_its_interval() -> None:
    comparison = monitoring_pb2.CompareVersionsResponse()
    active = comparison.versions.add(model_version="v1", requests=320)
    active.hits.CopyFrom(monitoring_pb2.HitRate(answers=320, told=60, hits=40))
    active.hits.rate.CopyFrom(monitoring_pb2.Interval(value=0.125, low=0.101, high=0.15))
    shadow = comparison.versions.add(model_version="v2", shadow_requests=60)
    shadow.off_policy.CopyFrom(monitoring_pb2.OffPolicy(calls=57, shown=0.2, own=0.23))
    shadow.off_policy.difference.CopyFrom(monitoring_pb2.Interval(value=0.03, low=-0.01, high=0.07))
    figures = from_proto(Comparison, comparison).versions
    told = list(sentences(view(), Registry(None, [], [], [], figures), [], NOW))
    assert told[-3:] == [
        "What users did with its answers:",
        "  v1: they took something of 40 of 320, 12.5% (90% interval 10.1% to 15.0%)",
        "  v2 in shadow, which nobody saw: worth +15% against what was shown, estimated from 57 calls "
        "(90% interval -5% to +35%)",
    ]
