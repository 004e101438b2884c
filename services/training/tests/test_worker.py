"""Real processes: they answer, refuse in words, and may die."""

from pathlib import Path

import pytest
from packline_core.errors import NotFound, Unavailable
from packline_core.store import ObjectStore
from packline_training.config import TrainingSettings
from packline_training.worker import run_apart


def test_a_base_is_built_apart(store: ObjectStore, settings: TrainingSettings) -> None:
    built = run_apart("packline_training.bases:build_base", task="slope", base="one", store=settings.core.store)
    assert store.exists(f"{built['object_name']}/manifest.json")
    assert built["digest"].removeprefix("sha256:") in built["object_name"]


def test_its_errors_come_back_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no task 'nosuch' is installed") as caught:
        run_apart("packline_training.bases:build_base", task="nosuch", base="x", store=str(tmp_path))
    assert caught.value.reason == "UNKNOWN_TASK"


def test_a_process_that_dies_is_told_with_its_last_words() -> None:
    with pytest.raises(Unavailable, match=r"_exit ended with 3"):
        run_apart("os:_exit", status=3)
