"""From a log's file to answers, without a platform: imported, trained, exported, sealed, opened, asked, judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from packline_core.bundle import Bundle, open_bundle, seal
from packline_core.runtime import Runtime
from packline_core.stats import bootstrap_interval
from packline_core.task import Example, Trial
from packline_recommendation.asking import Answer, Ask, Basis
from packline_recommendation.engine import RecommendationPredictor
from packline_recommendation.task import RecommendationTask

from services.recommendation.tests.training.helpers import World, planted

TASK = RecommendationTask()
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def write_logs(known: Path, later: Path) -> None:
    """All but the last event of each user, and the last."""
    log = planted(users=200, timed=True)
    lines = [f"{log.users[u]},{log.items[i]},{t}\n" for u, i, t in zip(log.user, log.item, log.time, strict=True)]
    last = {int(end) - 1 for end in log.bounds[1:]}
    for path, chosen in ((known, False), (later, True)):
        path.write_text(
            "user_id,item_id,timestamp\n" + "".join(x for n, x in enumerate(lines) if (n in last) is chosen)
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("logs")
    known, later = folder / "known.csv", folder / "later.csv"
    write_logs(known, later)
    return known, later


@pytest.fixture(scope="module")
def trained(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    base, place, folder = (tmp_path_factory.mktemp(name) for name in ("base", "trial", "bundle"))
    TASK.build_base("popular", base)
    start = open_bundle(base)
    examples = [row for row in TASK.read(files[0]) if isinstance(row, Example)]
    parameters = {**TASK.search_space("popular").start, "family": "knn"}
    learned = TASK.train(Trial("popular", start, parameters, 0), examples, World(place))
    TASK.export(learned, start, folder)
    return seal(folder, task="recommendation", base="popular", created_at=EPOCH, signature={}, references=())


def test_a_trained_bundle_foresees_what_popularity_does_not(trained: Bundle, files: tuple[Path, Path]) -> None:
    predictor = TASK.load(trained, Runtime(threads=1))
    questions = [row for row in TASK.questions(files[1]) if isinstance(row, Example)]
    assert len(questions) == 200
    recall, low, _ = bootstrap_interval(list(TASK.evaluate(predictor, iter(questions))), "recall_at_10")
    popular = answered(predictor, Ask("stranger"))
    assert popular.basis is Basis.POPULAR and len(popular.results) == 10
    chance = 10 / 48
    assert recall > low > 2 * chance
    answer = answered(predictor, Ask("u0001", causes=True))
    assert answer.basis is Basis.USER and len(answer.results) == 10
    predictor.close()


def test_the_gate_prefers_it_to_the_base(trained: Bundle, files: tuple[Path, Path], tmp_path: Path) -> None:
    TASK.build_base("popular", tmp_path)
    judged = [row for row in TASK.read(files[0]) if isinstance(row, Example) and row.truth]
    assert len(judged) == 200
    figures = []
    for bundle in (open_bundle(tmp_path), trained):
        predictor = TASK.load(bundle, Runtime(threads=1))
        figures.append(bootstrap_interval(list(TASK.evaluate(predictor, iter(judged))), "ndcg_at_10")[0])
        predictor.close()
    assert figures[0] == 0 < 0.2 < figures[1]


def answered(predictor: RecommendationPredictor, ask: Ask) -> Answer:
    (answer,) = predictor.predict(predictor.prepare(ask))
    assert isinstance(answer, Answer)
    return answer
