"""Two slots: swaps, refusals, retries, drains; with real bundles and sessions."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from packline_core.bundle import open_bundle
from packline_core.errors import BundleRejected, StorageFull
from packline_core.runtime import Runtime
from packline_core.serving.config import Candidate, ServingConfig, Version
from packline_core.serving.quarantine import Quarantine
from packline_core.serving.slots import Slots, SlotState
from packline_core.task import Predictor, get_task
from packline_echo.bundles import write_bundle
from packline_echo.fleet import version_of


class Opener:
    """Loads bundles from disk; fails as the test says, and can be held up."""

    def __init__(self) -> None:
        self.errors: dict[str, list[Exception]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.opened: list[str] = []

    def __call__(self, version: Version) -> Predictor:
        assert self.gate.wait(10)
        if self.errors.get(version.version):
            raise self.errors[version.version].pop(0)
        self.opened.append(version.version)
        return get_task("echo").load(open_bundle(Path(version.uri.removeprefix("file://"))), Runtime(threads=1))


@pytest.fixture
def versions(tmp_path: Path) -> list[Version]:
    return [version_of(write_bundle(tmp_path / f"b{n}", offset=float(n)), f"v{n}") for n in range(1, 4)]


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
async def slots(tmp_path: Path, opener: Opener) -> AsyncIterator[Slots]:
    slots = Slots(opener, Quarantine(tmp_path / "quarantine"), probation=(0.0, 1))
    yield slots
    await slots.close()
    assert list((tmp_path / "quarantine").glob("open-*")) == []


def config(active: Version | None, candidate: Version | None = None) -> ServingConfig:
    rollout = candidate and Candidate(candidate.version, candidate.digest, candidate.uri, 10, True)
    return ServingConfig("p", "echo", active, rollout)


async def until(condition: object) -> None:
    for _ in range(2000):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.005)
    raise AssertionError("never")


def held(slots: Slots) -> tuple[str | None, str | None]:
    return tuple(slot.version.version if slot else None for slot in (slots.active, slots.candidate))  # type: ignore


async def test_the_first_configuration_is_waited_for(slots: Slots, versions: list[Version]) -> None:
    await slots.apply(config(versions[0]))
    assert held(slots) == ("v1", None)
    assert slots.reports["active"].state is SlotState.READY
    assert slots.reports["candidate"].state is SlotState.EMPTY


async def test_a_promotion_opens_nothing_and_a_rollback_opens_again(
    slots: Slots, versions: list[Version], opener: Opener
) -> None:
    v1, v2, _ = versions
    await slots.apply(config(v1, v2))
    await until(lambda: held(slots) == ("v1", "v2"))
    await slots.apply(config(v2))
    await until(lambda: held(slots) == ("v2", None))
    assert opener.opened == ["v1", "v2"]
    await slots.apply(config(v1))
    assert held(slots)[0] is not None, "something always answers"
    await until(lambda: held(slots) == ("v1", None))
    assert opener.opened == ["v1", "v2", "v1"]


async def test_a_bad_candidate_changes_nothing_but_the_report(
    slots: Slots, versions: list[Version], opener: Opener
) -> None:
    v1, v2, v3 = versions
    await slots.apply(config(v1))
    opener.errors = {"v2": [BundleRejected("no", reason="SIGNATURE_MISMATCH")], "v3": [RuntimeError("surprise")]}
    for version, reason in ((v2, "SIGNATURE_MISMATCH"), (v3, "OPEN_FAILED")):
        await slots.apply(config(v1, version))
        await until(lambda wanted=reason: slots.reports["candidate"].reason == wanted)
        assert slots.reports["candidate"].state is SlotState.REFUSED
        assert slots.reports["candidate"].digest == version.digest
        assert held(slots) == ("v1", None)


async def test_a_bad_active_leaves_the_old_one_answering(slots: Slots, versions: list[Version], opener: Opener) -> None:
    v1, v2, _ = versions
    await slots.apply(config(v1))
    opener.errors = {"v2": [BundleRejected("no")]}
    await slots.apply(config(v2))
    await until(lambda: slots.reports["active"].state is SlotState.REFUSED)
    assert held(slots) == ("v1", None)


async def test_a_full_disk_is_reported_and_tried_again(
    slots: Slots, versions: list[Version], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packline_core.serving.slots._RETRY_SECONDS", 0.4)
    v1, v2, _ = versions
    await slots.apply(config(v1))
    opener.errors = {"v2": [StorageFull("no room"), StorageFull("no room")]}
    await slots.apply(config(v1, v2))
    await until(lambda: slots.reports["candidate"].reason == "STORAGE_FULL")
    assert slots.reports["candidate"].state is SlotState.LOADING
    await until(lambda: held(slots) == ("v1", "v2"))


async def test_the_last_wish_wins(slots: Slots, versions: list[Version], opener: Opener) -> None:
    v1, v2, v3 = versions
    await slots.apply(config(v1))
    opener.gate.clear()
    await slots.apply(config(v1, v2))
    await asyncio.sleep(0.05)
    await slots.apply(config(v1, v3))
    await slots.apply(config(v1))
    opener.gate.set()
    await until(lambda: slots._task is not None and slots._task.done())
    assert held(slots) == ("v1", None)
    assert slots.reports["candidate"].state is SlotState.EMPTY


async def test_a_version_is_closed_after_its_last_call(slots: Slots, versions: list[Version]) -> None:
    v1, v2, _ = versions
    await slots.apply(config(v1))
    old = slots.active
    assert old is not None
    async with old.held():
        await slots.apply(config(v2))
        await until(lambda: held(slots) == ("v2", None))
        await asyncio.sleep(0.1)
        (answer,) = await old.batcher.submit(old.predictor.prepare([1.0]))
        assert answer.tolist() == [2.0]


async def test_probation_ends_and_a_quarantined_candidate_goes(
    slots: Slots, versions: list[Version], tmp_path: Path
) -> None:
    v1, v2, _ = versions
    folder = tmp_path / "quarantine"
    await slots.apply(config(v1, v2))
    await until(lambda: held(slots) == ("v1", "v2"))
    assert len(list(folder.glob("open-*"))) == 2
    assert slots.active is not None
    async with slots.active.held():
        pass
    slots.watch()
    assert len(list(folder.glob("open-*"))) == 1, "active has served; the candidate has not"
    (folder / f"bad-{v2.digest[7:]}.json").write_text('{"reason": "it killed another replica"}')
    slots.watch()
    assert held(slots) == ("v1", None)
    assert slots.reports["candidate"].state is SlotState.QUARANTINED
    await slots.apply(config(v1, v2))
    assert held(slots) == ("v1", None)
