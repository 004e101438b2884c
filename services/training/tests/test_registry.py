"""The registry on a real database."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
import sqlalchemy as sa
from packline_core.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound
from packline_slope.testing import Clock, manifest
from packline_training.domain import Decision, DecisionKind, GateOutcome, GateResult, GateSlice, VersionState
from packline_training.registry import NewVersion, Registry

pytestmark = pytest.mark.backends


def new(number: int) -> NewVersion:
    return NewVersion(f"sha256:{number}", f"bundles/0{number}/{number}", "published", "flat", metrics={"mae": 0.5})


def passed(registry: Registry, pack: str, number: int, clock: Clock) -> str:
    version = registry.register(pack, new(number)).name
    active = registry.state(pack).active
    gate = GateResult(
        GateOutcome.PASSED, "better", "mae", clock(), active, "sha256:g", None, GateSlice(3, 1, 0, -1, -2, 0)
    )
    registry.judge(pack, version, gate, dataset=1, passed=True)
    return version


def test_a_pack_is_created_once(registry: Registry, pack: str) -> None:
    state = registry.create(manifest(), new(7))
    assert (state.active, state.revision, list(state.versions)) == ("v1", 1, ["v1"])
    assert state.version("v1").digest == "sha256:base"
    assert registry.names() == ["line"] and registry.manifest("line").spec.task == "slope"
    with pytest.raises(NotFound, match="no Pack 'other'"):
        registry.state("other")


def test_versions_are_numbered_and_a_digest_has_one(registry: Registry, pack: str) -> None:
    assert [registry.register(pack, new(n)).name for n in (2, 3, 2)] == ["v2", "v3", "v2"]
    assert registry.state(pack).version("v3").metrics == {"mae": 0.5}


def test_a_gate_result_comes_back_as_it_was(registry: Registry, pack: str, clock: Clock) -> None:
    name = passed(registry, pack, 2, clock)
    version = registry.state(pack).version(name)
    assert version.state is VersionState.PASSED and version.gate_dataset == 1
    assert version.gate is not None and version.gate.new == GateSlice(3, 1, 0, -1, -2, 0)
    assert version.gate.judged_at == clock.now
    with pytest.raises(Conflict, match="by now"):
        registry.judge(pack, name, version.gate, dataset=1, passed=True)


def test_a_judgement_against_another_active_version_does_not_count(registry: Registry, pack: str, clock: Clock) -> None:
    name = passed(registry, pack, 2, clock)
    gate = registry.state(pack).version(name).gate
    assert gate is not None
    registry.register(pack, new(3))
    with pytest.raises(Conflict, match="judged again"):
        registry.judge(pack, "v3", replace(gate, active_version="v2"), dataset=1, passed=True)


def test_a_decision_repeated_returns_what_the_first_did(registry: Registry, pack: str, clock: Clock) -> None:
    name = passed(registry, pack, 2, clock)
    decision = Decision("d1", DecisionKind.BEGIN_ROLLOUT, name, 1, "GatePassed", "better on 3")
    first = registry.decide(pack, decision)
    assert registry.decide(pack, decision) == first and first.revision == 2
    (record,) = registry.decisions(pack, 10)
    assert (record.decision, record.revision) == (decision, 2)
    with pytest.raises(AlreadyExists, match="d1"):
        registry.decide(pack, replace(decision, kind=DecisionKind.REJECT))
    with pytest.raises(Conflict):
        registry.decide(pack, replace(decision, decision_id="d2"))


def test_many_deciders_at_once_make_one_decision(registry: Registry, pack: str, clock: Clock) -> None:
    name = passed(registry, pack, 2, clock)
    registry.decide(pack, Decision("begin", DecisionKind.BEGIN_ROLLOUT, name, 1))
    outcomes: list[str] = []

    def promote(number: int) -> None:
        try:
            registry.decide(pack, Decision(f"p{number}", DecisionKind.PROMOTE, name, 2))
            outcomes.append("made")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=promote, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] + ["refused"] * 7
    assert [record.decision.kind for record in registry.decisions(pack, 10)] == [
        DecisionKind.PROMOTE,
        DecisionKind.BEGIN_ROLLOUT,
    ]


def test_many_who_register_at_once_get_a_number_each(registry: Registry, pack: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda n: registry.register(pack, new(2 + n // 2)).name, range(8)))
    assert sorted(names) == sorted(["v2", "v3", "v4", "v5"] * 2)
    assert list(registry.state(pack).versions) == ["v1", "v2", "v3", "v4", "v5"]


def test_many_who_create_one_pack_at_once_create_one(registry: Registry) -> None:
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda n: registry.create(manifest(), new(n)), range(8)))
    assert states == [states[0]] * 8 and registry.names() == ["line"]


def test_a_judgement_that_meets_a_rejection_does_not_bring_the_version_back(
    registry: Registry, pack: str, clock: Clock
) -> None:
    gate = GateResult(GateOutcome.PASSED, "better", "mae", clock(), "v1")
    for number in range(2, 12):
        name = registry.register(pack, new(number)).name
        revision = registry.state(pack).revision

        def judge(name: str = name) -> None:
            with suppress(Conflict):
                registry.judge(pack, name, gate, dataset=1, passed=True)

        decision = Decision(f"r{number}", DecisionKind.REJECT, name, revision)
        with ThreadPoolExecutor(2) as pool:
            judged, rejected = pool.submit(judge), pool.submit(registry.decide, pack, decision)
            judged.result()
            rejected.result()
        assert registry.state(pack).version(name).state is VersionState.REJECTED


def test_a_rejected_digest_is_refused(registry: Registry, pack: str) -> None:
    registry.register(pack, new(2))
    registry.decide(pack, Decision("r", DecisionKind.REJECT, "v2", 1, "GateFailed", "worse on the old"))
    with pytest.raises(FailedPrecondition, match="never returns") as caught:
        registry.register(pack, new(2))
    assert caught.value.reason == "DIGEST_REJECTED"


def test_a_task_does_not_change(registry: Registry, pack: str) -> None:
    registry.update_manifest(manifest(data={"goldenShare": "50%"}))
    assert registry.manifest(pack).spec.data.golden_share == "50%"
    other = manifest()
    other = other.model_copy(update={"spec": other.spec.model_copy(update={"task": "other"})})
    with pytest.raises(FailedPrecondition, match="delete it"):
        registry.update_manifest(other)


def test_a_forgotten_pack_leaves_nothing(registry: Registry, pack: str, engine: sa.Engine) -> None:
    registry.register(pack, new(2))
    registry.decide(pack, Decision("r", DecisionKind.REJECT, "v2", 1))
    registry.forget(pack)
    with engine.connect() as connection:
        for table in ("packs", "versions", "rejected", "decisions", "runs"):
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 0
    assert registry.create(manifest(), new(2)).active == "v1"
