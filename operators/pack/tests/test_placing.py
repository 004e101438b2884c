"""A Pack that cannot be placed is told so, and what serves it already serves on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from packline_operator.conditions import READY, RECONCILED, SERVING
from packline_operator.domain import ApplyServing, Observed, RegisterPack
from packline_operator.facts import Pool, Serving
from packline_operator.placing import obstacle
from packline_operator.reasons import Reason
from packline_operator.reconcile import reconcile

from operators.pack.tests.world import World, manifest


def observed(world: World, **more: object) -> Observed:
    return replace(world.observe(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("serving", "pools", "reason", "words"),
    [
        ({"pool": "gpu"}, {"default": Pool()}, Reason.POOL_MISSING, "no pool 'gpu' (its pools: default)"),
        ({"pool": "gpu"}, {}, Reason.POOL_MISSING, "its pools: none"),
        ({"gpus": "0.5"}, {"default": Pool(0.0, 2)}, Reason.POOL_TOO_SMALL, "a node of pool 'default' has no GPU"),
        ({"gpus": "4"}, {"default": Pool(2.0, 2)}, Reason.POOL_TOO_SMALL, "wants 4, and a node of pool"),
        ({}, {"default": Pool(0.0, 0)}, Reason.POOL_TOO_SMALL, "no node at all"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_said(
    serving: dict[str, str], pools: dict[str, Pool], reason: Reason, words: str
) -> None:
    world = World(pack=manifest(serving=serving))
    found = obstacle(observed(world, pools=pools))
    assert found is not None and found.reason is reason and words in found.message


@pytest.mark.parametrize(
    ("serving", "pools"),
    [({"gpus": "0.5"}, {"default": Pool(1.0, 1)}), ({"gpus": "2"}, {"default": Pool()}), ({"pool": "x"}, None)],
)
def test_what_fits_or_is_not_known_is_not_in_the_way(serving: dict[str, str], pools: dict[str, Pool] | None) -> None:
    assert obstacle(observed(World(pack=manifest(serving=serving)), pools=pools)) is None


def test_a_pack_without_a_place_is_not_even_registered() -> None:
    world = World()
    outcome = reconcile(observed(world, limit=100), world.now)
    assert outcome.actions == ()
    ready = outcome.status.condition(READY)
    assert ready is not None and (ready.status, ready.reason) == ("False", "FleetFull") and "100 Packs" in ready.message
    assert [event.reason for event in outcome.events if event.warning] == [Reason.FLEET_FULL]


def test_what_serves_already_keeps_its_place() -> None:
    world = World()
    world.live(1)
    assert obstacle(observed(world, limit=1)) is None


def test_a_pack_moved_to_a_missing_pool_serves_and_rolls_out_where_it_is() -> None:
    world = World()
    world.live(1)
    assert world.config is not None
    options = world.config["deployments"][0]["ray_actor_options"]
    world.pack = manifest(serving={"pool": "gpu", "maxQueue": 7})
    outcome = reconcile(observed(world, pools={"default": Pool()}), world.now)
    config = next(action.config for action in outcome.actions if isinstance(action, ApplyServing))
    assert config is not None
    assert config["deployments"][0]["ray_actor_options"] == options
    assert config["deployments"][0]["user_config"]["limits"]["max_queue"] == 7
    assert any(isinstance(action, RegisterPack) for action in outcome.actions)
    told = {type_: outcome.status.condition(type_) for type_ in (READY, SERVING, RECONCILED)}
    assert {type_: one and one.status for type_, one in told.items()} == {
        READY: "False",
        SERVING: "True",
        RECONCILED: "False",
    }

    world.execute(ApplyServing(config))
    later = reconcile(observed(world, pools={"default": Pool(), "gpu": Pool()}), world.now)
    moved = next(action.config for action in later.actions if isinstance(action, ApplyServing))
    assert moved is not None and moved["deployments"][0]["ray_actor_options"]["resources"] == {"pool_gpu": 0.001}


def test_a_hand_made_configuration_does_not_break_it() -> None:
    world = World(pack=manifest(serving={"pool": "gpu"}))
    world.live(1)
    for deployments in (None, "x", [None], [{"ray_actor_options": 3}]):
        serving = Serving({"name": "p", "deployments": deployments}, "RUNNING")
        outcome = reconcile(observed(world, pools={}, serving=serving), world.now)
        assert any(isinstance(action, ApplyServing) for action in outcome.actions)
