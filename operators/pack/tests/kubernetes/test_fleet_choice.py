"""Which RayService of a namespace is its fleet."""

from typing import Any

import pytest
from packline_core.errors import Unavailable
from packline_operator.kubernetes.cache import SERVICES, Cache
from packline_operator.kubernetes.fleet import FLEET_LABEL, FLEET_MISSING, find_service


def cache_with(*services: tuple[str, bool]) -> Cache:
    cache = Cache()
    for number, (name, marked) in enumerate(services):
        metadata: dict[str, Any] = {"name": name, "namespace": "n", "uid": name, "resourceVersion": str(number)}
        metadata |= {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {FLEET_LABEL: ""} if marked else {}}
        cache.put(SERVICES, {"metadata": metadata})
    return cache


@pytest.mark.parametrize("services", [[("a", False)], [("a", True)], [("a", True), ("b", False)]])
def test_the_marked_one_or_the_only_one(services: list[tuple[str, bool]]) -> None:
    assert find_service(cache_with(*services), "n")["metadata"]["name"] == "a"


def test_none_and_several_are_told_apart() -> None:
    with pytest.raises(Unavailable, match="there is no RayService in namespace n") as caught:
        find_service(cache_with(), "n")
    assert caught.value.reason == FLEET_MISSING
    for marked in (False, True):
        with pytest.raises(Unavailable, match=r"several RayServices \(a, b\); mark one"):
            find_service(cache_with(("a", marked), ("b", marked)), "n")
