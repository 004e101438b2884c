"""The newest state wins, from wherever it comes; what the operator writes itself wakes nobody."""

from typing import Any

import pytest
from packline_operator.kubernetes.cache import PACKS, SERVICES, Cache


def pack(version: int, name: str = "a", namespace: str = "n", **metadata: Any) -> dict[str, Any]:
    told = {"uid": "1", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": str(version)}
    return {"metadata": {"name": name, "namespace": namespace, **told, **metadata}}


@pytest.fixture
def woken() -> list[tuple[str, str | None]]:
    return []


@pytest.fixture
def cache(woken: list[tuple[str, str | None]]) -> Cache:
    return Cache(lambda namespace, name: woken.append((namespace, name)))


def test_an_older_state_does_not_come_back(cache: Cache) -> None:
    cache.put(PACKS, pack(7))
    cache.put(PACKS, pack(5, generation=9))
    assert cache.get(PACKS, "n", "a") == pack(7)
    cache.put(PACKS, pack(6), gone=True)
    assert cache.get(PACKS, "n", "a") == pack(7), "that was another's end"


def test_only_what_the_loop_should_look_at_wakes_it(cache: Cache, woken: list[object]) -> None:
    cache.put(PACKS, pack(1))
    cache.put(PACKS, pack(2, generation=2))
    cache.put(PACKS, {**pack(3, generation=2), "status": {"phase": "Idle"}})
    cache.put(PACKS, pack(4, generation=2, deletionTimestamp="2026-01-02T00:00:00Z"))
    cache.put(PACKS, pack(5, generation=2), gone=True)
    assert woken == [("n", "a")] * 4


def test_a_list_makes_up_for_what_a_watch_missed(cache: Cache, woken: list[object]) -> None:
    for version, name in ((1, "a"), (2, "b"), (9, "new")):
        cache.put(PACKS, pack(version, name))
    cache.put(PACKS, pack(3, "c", "elsewhere"))
    woken.clear()
    cache.replace(PACKS, [pack(1, "a")], "8", "n")
    names = [one["metadata"]["name"] for one in cache.in_namespace(PACKS, "n")]
    assert names == ["a", "new"], "b is gone, and new is newer than the list"
    assert woken == [("n", "b")] and cache.get(PACKS, "elsewhere", "c")


def test_a_fleets_applications_wake_all_its_packs(cache: Cache, woken: list[object]) -> None:
    def service(version: int, status: str, endpoints: int) -> dict[str, Any]:
        applications = {"a": {"status": status}}
        active = {"rayClusterName": "r", "applicationStatuses": applications}
        return {**pack(version), "status": {"activeServiceStatus": active, "numServeEndpoints": endpoints}}

    cache.put(SERVICES, service(1, "DEPLOYING", 0))
    cache.put(SERVICES, service(2, "DEPLOYING", 1))
    cache.put(SERVICES, service(3, "RUNNING", 1))
    assert woken == [("n", None)] * 2


def test_oldest_come_first(cache: Cache) -> None:
    cache.put(PACKS, pack(1, "b", creationTimestamp="2026-01-02T00:00:00Z"))
    cache.put(PACKS, pack(2, "c", creationTimestamp="2026-01-01T00:00:00Z"))
    cache.put(PACKS, pack(3, "a", creationTimestamp="2026-01-02T00:00:00Z"))
    assert [one["metadata"]["name"] for one in cache.in_namespace(PACKS, "n")] == ["c", "a", "b"]
