"""The ONNX graph answers as the trained models do, for every family and for their blend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from packline_core.runtime import Runtime, create_session
from packline_recommendation.training import nodes
from packline_recommendation.training.export import TOLERANCE, largest_difference
from packline_recommendation.training.factors import Factors, text_vectors
from packline_recommendation.training.families import ITSELF, LINEAR, Parameters, linear, text_factors
from packline_recommendation.training.graph import write_graph
from packline_recommendation.training.histories import Histories, histories
from packline_recommendation.training.parts import Constant, NewItems, Part, Recommender, new_items
from packline_recommendation.training.popularity import popularity
from packline_recommendation.training.sequence import Network, Shape

from services.recommendation.tests.training.helpers import planted

LOG = planted(timed=True)
COUNT = len(LOG.items)
PARAMETERS = Parameters("blend", 1.0, 16, 2, 0.0, 1e-3)


def network() -> Network:
    torch.manual_seed(0)
    made = Network(Shape(COUNT, 0, 16, 2, 2, 6, 0.2))
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def part(name: str) -> Part:
    if name == "popularity":
        return Part(name, Constant(popularity(LOG, 3.0)))
    if name == "transformer":
        return Part(name, network())
    if name == "text":
        return Part(name, text_factors(text_vectors([f"thing {i % 7} of kind {i % 5}" for i in range(COUNT)], 8, 0)))
    return Part(name, linear(name, LOG, PARAMETERS, seed=0, threads=1), decay=0.7, rate=1e-7)


def given() -> Histories:
    """Histories longer and shorter than the transformer looks back, one with two events at a time, and an empty one."""
    found = histories(LOG, np.arange(20), 9)
    found.ages[3, -1] = found.ages[3, -2] = 0.0
    found.items[4] = 0
    return found


def difference(recommender: Recommender, path: Path) -> float:
    write_graph(recommender, path)
    asked = given()
    arrays = {"items": asked.items, "weights": asked.weights, "ages": asked.ages}
    return largest_difference(path, arrays, recommender.scores(asked))


NAMES = ("popularity", *LINEAR, ITSELF, "text", "transformer")


@pytest.mark.parametrize("name", NAMES)
def test_each_family_answers_alike(name: str, tmp_path: Path) -> None:
    assert difference(Recommender([part(name)], [1.0], 9), tmp_path / "model.onnx") < TOLERANCE


def test_a_blend_answers_alike_and_scores_new_items_by_their_like(tmp_path: Path) -> None:
    vectors = text_vectors([f"thing {i % 7} of kind {i % 5}" for i in range(COUNT)], 8, 0)
    events = np.bincount(LOG.item, minlength=COUNT)
    events[[3, 10, 40]] = 0
    new = new_items(vectors, events)
    assert isinstance(new, NewItems)
    new = new.moved(np.array([-0.25, -0.5, -0.75], dtype=np.float32))
    weights = [0.1, 0.5, 0.4, 0.7, 0.2, 0.3, 0.6, 1.1]
    blend = Recommender([part(name) for name in NAMES], weights, 9, new)
    assert difference(blend, tmp_path / "model.onnx") < TOLERANCE
    scores = blend.scores(given())
    like, shares = new.like[1], new.shares[1]
    assert scores[0, 10] == pytest.approx(scores[0, like] @ shares - 0.5, abs=1e-5)


def test_an_item_of_which_nothing_is_known_comes_last(tmp_path: Path) -> None:
    events = np.bincount(LOG.item, minlength=COUNT)
    events[5] = 0
    new = new_items(np.zeros((COUNT, 8), dtype=np.float32), events)
    blend = Recommender([part("popularity"), part("knn")], [0.5, 0.5], 9, new)
    assert difference(blend, tmp_path / "model.onnx") < TOLERANCE
    assert (blend.scores(given()).argmin(axis=1) == 5).all()


def test_what_is_not_allowed_makes_room_for_what_is(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_graph(Recommender([part("knn"), part("popularity")], [1.0, 0.1], 9), path)
    asked = given()
    allowed = np.zeros((1, COUNT), dtype=np.bool_)
    allowed[0, [2, 7, 30]] = True
    inputs = {"items": asked.items, "weights": asked.weights, "ages": asked.ages, "allowed": allowed}
    session = create_session(path, Runtime())
    scores, indices = session.run(["scores", "indices"], {**inputs, "k": np.array([4], dtype=np.int64)})
    assert (np.sort(indices[:, :3], axis=1) == [2, 7, 30]).all()
    assert np.isneginf(scores[:, 3]).all()


def test_histories_may_be_longer_or_shorter_than_in_training(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    blend = Recommender([part("next_item"), part("transformer")], [1.0, 1.0], 9)
    write_graph(blend, path)
    for length in (1, 3, 30):
        asked = histories(LOG, np.arange(5), length)
        arrays = {"items": asked.items, "weights": asked.weights, "ages": asked.ages}
        assert largest_difference(path, arrays, blend.scores(asked)) < TOLERANCE


def test_a_large_model_keeps_its_numbers_in_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "_INLINE_BYTES", 0)
    assert difference(Recommender([part("als"), part("ease")], [1.0, 0.5], 9), tmp_path / "model.onnx") < TOLERANCE
    assert (tmp_path / "model.onnx.data").stat().st_size > (tmp_path / "model.onnx").stat().st_size


@pytest.mark.slow
def test_a_million_items_of_128_dimensions(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((1_000_000, 128), dtype=np.float32)
    large = Recommender([Part("als", Factors(vectors, np.eye(128, dtype=np.float32)), decay=0.7)], [1.0], 50)
    path = tmp_path / "model.onnx"
    write_graph(large, path)
    items = random.integers(1, 1_000_001, (2, 50))
    asked = Histories(
        items, np.ones(items.shape, dtype=np.float32), np.arange(49, -1, -1, dtype=np.float32) + 0 * items
    )
    arrays = {"items": asked.items, "weights": asked.weights, "ages": asked.ages.astype(np.float32)}
    assert largest_difference(path, arrays, large.scores(asked)) < TOLERANCE
