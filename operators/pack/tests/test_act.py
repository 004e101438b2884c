"""Actions against peers that are not there: what failed is remembered, and tried again ever more rarely."""

from datetime import timedelta

import pytest
from packline_core.errors import StorageFull
from packline_operator.act import Actor, Failures
from packline_operator.domain import ApplyServing, ForgetPack, RegisterPack, RemovePack
from packline_operator.facts import Peer
from packline_operator.peers import Monitoring, Training

from .world import START

# Nobody listens there.
NOWHERE = "127.0.0.1:9"


@pytest.fixture
def actor() -> Actor:
    applied: list[str] = []
    return Actor(Training(NOWHERE), Monitoring(NOWHERE), lambda pack, action: applied.append(pack), applied.append)


def test_a_failure_is_told_and_waited_for(actor: Actor) -> None:
    failures, register = Failures(), RegisterPack("{}")
    assert not actor.act("p", [register], failures, START)
    assert "RegisterPack failed: " in failures.told()["RegisterPack"]
    assert failures.waits(register, START)
    assert not failures.waits(register, START + timedelta(seconds=1))
    for _ in range(20):
        failures.failed(register, StorageFull("full"), START)
    assert failures.waits(register, START + timedelta(seconds=59))
    assert not failures.waits(register, START + timedelta(seconds=60))
    assert not failures.waits(register, START - timedelta(days=1)), "a clock set back must not make it wait for ever"


def test_actions_stop_at_the_first_that_fails(actor: Actor) -> None:
    failures = Failures()
    assert not actor.act("p", [ForgetPack(Peer.TRAINING), RemovePack()], failures, START)
    assert list(failures.told()) == ["ForgetPack in training"]


def test_what_succeeds_or_is_no_longer_wanted_is_no_failure(actor: Actor) -> None:
    failures = Failures()
    actor.act("p", [ApplyServing(None), RegisterPack("{}")], failures, START)
    assert list(failures.told()) == ["RegisterPack"]
    assert actor.act("p", [ApplyServing(None)], failures, START)
    assert failures.told() == {}
