"""A trial from examples to a proved bundle: chosen, trained, taken up again, cut short, refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from packline_core.bundle import Bundle, seal
from packline_core.errors import BundleRejected, Cancelled, InvalidInput
from packline_core.runtime import Runtime, create_session
from packline_core.task import Example, Trained, Trial
from packline_recommendation.domain import NDCG, RECALL
from packline_recommendation.examples import Event, History, history_example
from packline_recommendation.layout import HISTORIES, ITEMS, MODEL, read_settings
from packline_recommendation.training import export, search_space, train
from packline_recommendation.training.export import TOLERANCE, largest_difference
from packline_recommendation.training.output import FILES, PROOF

from services.recommendation.tests.training.helpers import World, examples_of, planted

FAST = {**search_space("popular").start, "width": 16, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("start")
    return seal(
        folder,
        task="recommendation",
        base="popular",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        signature={},
        references=(),
    )


def run(start: Bundle, examples: Sequence[Example], world: World, *, family: str = "blend", seed: int = 0) -> Trained:
    return train(Trial("popular", start, {**FAST, "family": family}, seed), examples, world)


def proof(trained: Trained) -> np.ndarray:
    with np.load(trained.folder / PROOF) as arrays:
        return np.array(arrays["scores"])


def test_a_blend_is_chosen_trained_and_exported(start: Bundle, tmp_path: Path) -> None:
    log = planted(timed=True, users=260)
    trained = run(start, examples_of(log, withheld=20), World(tmp_path))
    assert trained.metrics[NDCG] > 2 * trained.metrics[f"{NDCG}_of_popularity"]
    assert 0 < trained.metrics[NDCG] <= trained.metrics[RECALL] <= 1
    folder = tmp_path / "bundle"
    folder.mkdir()
    export(trained, folder)
    settings = read_settings(folder)
    assert settings.timed and settings.family == "blend" and settings.newest == log.time[:-1].max()
    assert pq.read_table(folder / ITEMS)["id"].to_pylist() == list(log.items)
    known = pq.read_table(folder / HISTORIES).to_pylist()
    # What is withheld from training is known in serving.
    assert [len(user["items"]) for user in known] == np.diff(log.bounds).tolist()


def test_what_is_withheld_is_not_learned_from(start: Bundle, tmp_path: Path) -> None:
    log = planted()
    secret = [Event("secret", "purchase", 1.0, 99)]
    extra = [history_example(History(f"v{n}", [Event("i0000", "purchase", 1.0, 1)], secret), "x") for n in range(30)]
    trained = run(start, [*examples_of(log), *extra], World(tmp_path), family="knn")
    table = pq.read_table(trained.folder / FILES / ITEMS).to_pylist()
    assert {row["id"]: row["events"] for row in table}["secret"] == 0


def test_the_same_seed_gives_the_same_model_and_a_lost_process_changes_nothing(start: Bundle, tmp_path: Path) -> None:
    examples = examples_of(planted())
    whole, again, cut = (tmp_path / name for name in ("whole", "again", "cut"))
    for folder in (whole, again, cut):
        folder.mkdir()
    first = proof(run(start, examples, World(whole), family="transformer"))
    assert np.array_equal(first, proof(run(start, examples, World(again), family="transformer")))
    with pytest.raises(Cancelled):
        run(start, examples, World(cut, stop_when=lambda stage: stage.startswith("epoch 9 of")), family="transformer")
    with pytest.raises(Cancelled):
        run(start, examples, World(cut, stop_when=lambda stage: "epochs on everything" in stage), family="transformer")
    world = World(cut)
    assert np.array_equal(first, proof(run(start, examples, world, family="transformer")))
    assert not any(stage.startswith("epoch 1 of") for _, stage in world.reports)


def test_another_seed_gives_another_model(start: Bundle, tmp_path: Path) -> None:
    examples = examples_of(planted())
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (
        run(start, examples, World(tmp_path / name), family="transformer", seed=seed)
        for name, seed in (("a", 1), ("b", 2))
    )
    assert not np.array_equal(proof(one), proof(other))


def test_a_small_budget_is_kept_and_told(start: Bundle, tmp_path: Path) -> None:
    world = World(tmp_path, seconds_left=100, per_report=2)
    trained = run(start, examples_of(planted()), world, family="transformer")
    assert world.seconds_left > 0
    assert any("maxMinutes" in note for note in trained.notes)


def test_items_that_nobody_had_are_recommended_by_their_text(start: Bundle, tmp_path: Path) -> None:
    log = planted(timed=True, users=260)
    words = ["bolt", "나사못", "washer", "hinge", "사포지", "gasket", "pulley", "베어링"]
    texts = {item: f"{words[int(item[1:]) // 6]} size {int(item[1:]) % 6}" for item in log.items}
    texts["new"] = "bolt size 9"
    trained = run(start, examples_of(log, texts=texts), World(tmp_path))
    ids = [row["id"] for row in pq.read_table(trained.folder / FILES / ITEMS).to_pylist()]
    session = create_session(trained.folder / FILES / MODEL, Runtime())
    history = np.array([[ids.index(item) + 1 for item in ("i0000", "i0001", "i0002")]], dtype=np.int64)
    flat = np.ones((1, 3), dtype=np.float32)
    _, found = session.run(
        ["scores", "indices"],
        {
            "items": history,
            "weights": flat,
            "ages": np.array([[2e6, 1e6, 0]], dtype=np.float32),
            "allowed": np.ones((1, len(ids)), dtype=np.bool_),
            "k": np.array([12], dtype=np.int64),
        },
    )
    assert "new" in [ids[place] for place in found[0]]


def test_what_is_taken_again_is_offered_again(start: Bundle, tmp_path: Path) -> None:
    """Users who buy the same three things over and over."""
    random = np.random.default_rng(0)
    examples = []
    for user in range(80):
        own = random.choice(60, 3, replace=False)
        events = [Event(f"i{own[step % 3]:02}", "purchase", 1.0, step) for step in range(7)]
        examples.append(history_example(History(f"u{user:03}", events), "x"))
    trained = run(start, examples, World(tmp_path), family="knn")
    assert read_settings(trained.folder / FILES).repeats
    assert trained.metrics[RECALL] > 0.9


def test_equal_events_of_several_imports_count_once(start: Bundle, tmp_path: Path) -> None:
    examples = examples_of(planted())
    twice = [*examples, *(example for example in examples_of(planted()) if example.key.startswith("user:"))]
    renamed = [
        Example(f"{example.key}2", example.payload, example.truth, example.group, "") for example in twice[-150:]
    ]
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once = run(start, examples, World(tmp_path / "once"), family="ease")
    again = run(start, [*examples, *renamed], World(tmp_path / "twice"), family="ease")
    assert np.array_equal(proof(once), proof(again))


def test_a_graph_that_answers_otherwise_is_not_published(start: Bundle, tmp_path: Path) -> None:
    trained = run(start, examples_of(planted()), World(tmp_path), family="knn")
    with np.load(trained.folder / PROOF) as arrays:
        kept = dict(arrays)
    assert (
        largest_difference(
            trained.folder / FILES / MODEL, {n: kept[n] for n in ("items", "weights", "ages")}, kept["scores"]
        )
        < TOLERANCE
    )
    kept["scores"][0, kept["scores"][0].argmax()] += 0.01
    np.savez(trained.folder / PROOF, **kept)
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleRejected) as error:
        export(trained, tmp_path / "bundle")
    assert error.value.reason == "PARITY_FAILED"


def event(user: str, *items: str) -> Example:
    return history_example(History(user, [Event(item, "purchase", 1.0, time) for time, item in enumerate(items)]), "x")


@pytest.mark.parametrize(
    ("examples", "reason", "words"),
    [
        ([], "EMPTY_LOG", "no event"),
        ([event("a")], "EMPTY_LOG", "no event"),
        ([event("a", "x", "y", "z")], "LOG_TOO_SMALL", "1 user"),
        ([event("a", "x", "x"), event("b", "x")], "LOG_TOO_SMALL", "1 item"),
        ([event("a", "x"), event("b", "y")], "LOG_TOO_SMALL", "two events"),
    ],
)
def test_too_little_to_learn_from_is_a_clear_error(
    start: Bundle, tmp_path: Path, examples: list[Example], reason: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        run(start, examples, World(tmp_path))
    assert error.value.reason == reason
    assert words in error.value.message


@pytest.mark.parametrize("family", search_space("popular").parameters["family"].values)
def test_the_smallest_log_trains(start: Bundle, tmp_path: Path, family: str) -> None:
    trained = run(start, [event("a", "x", "y"), event("b", "y", "x")], World(tmp_path), family=family)
    (tmp_path / "bundle").mkdir()
    export(trained, tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "recommendation.json").read_text())["family"] == family
