"""One operator acts: the Lease on a real API server, its holders on clocks that the test moves."""

from __future__ import annotations

import threading

import pytest
from packline_core.errors import Unavailable
from packline_operator.kubernetes.lease import NAME, Lease

from tests.cluster.bed import Bed
from tests.cluster.packs import api_of

pytestmark = [pytest.mark.cluster]


class Monotonic:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def holds(lease: Lease) -> bool:
    try:
        lease.guard()
    except Unavailable:
        return False
    return True


def test_one_holds_it_and_another_takes_over_once_it_is_silent(cluster: Bed, namespace: str) -> None:
    clock = Monotonic()
    first, second = (Lease(api_of(cluster), namespace, name, 15, clock) for name in ("first", "second"))
    for lease in (first, second, first, second):
        lease.attempt()
    assert (holds(first), holds(second)) == (True, False)
    for _ in range(8):
        clock.now += 5
        first.attempt()
        second.attempt()
        assert (holds(first), holds(second)) == (True, False)
    # The first one falls silent, as if its machine slept: it stops by itself before the second may start.
    clock.now += 10.1
    second.attempt()
    assert (holds(first), holds(second)) == (False, False)
    clock.now += 5
    second.attempt()
    assert (holds(first), holds(second)) == (False, True)
    first.attempt()
    assert (holds(first), holds(second)) == (False, True)
    assert cluster.get("lease", NAME, "-n", namespace)["spec"]["leaseTransitions"] == 1


def test_of_many_that_try_at_once_one_gets_it(cluster: Bed, namespace: str) -> None:
    leases = [Lease(api_of(cluster), namespace, str(number), 15) for number in range(8)]
    threads = [threading.Thread(target=lease.attempt) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(holds(lease) for lease in leases) == 1


def test_who_leaves_in_order_hands_it_over_at_once(cluster: Bed, namespace: str) -> None:
    first, second = (Lease(api_of(cluster), namespace, name, 15) for name in ("first", "second"))
    first.attempt()
    second.attempt()
    first.stop()
    assert not holds(first)
    second.attempt()
    assert holds(second)


def test_a_holders_loss_is_told(cluster: Bed, namespace: str) -> None:
    told: list[str] = []
    lease = Lease(api_of(cluster), namespace, "first", 1.5)

    def acquired() -> None:
        told.append("acquired")
        # Somebody takes it by force.
        taken = '{"spec":{"holderIdentity":"another","leaseDurationSeconds":3600}}'
        cluster.kubectl("patch", "lease", NAME, "-n", namespace, "--type=merge", "-p", taken)

    lease.run(acquired, lambda: told.append("lost"))
    assert told == ["acquired", "lost"] and not holds(lease)
