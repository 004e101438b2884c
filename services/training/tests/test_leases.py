"""Runs in their table: none runs twice, and what was lost is taken up again."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from packline_core.errors import AlreadyExists, NotFound
from packline_slope.testing import Clock
from packline_training.domain import RunKind, RunState
from packline_training.engine import Tables
from packline_training.runs import MOST_ATTEMPTS, LeaseLost

pytestmark = pytest.mark.backends
LEASE = timedelta(seconds=10)
CLAIM = """
import sys
from datetime import UTC, datetime, timedelta
from packline_core.db import create_engine
from packline_training.runs import Runs
runs = Runs(create_engine(sys.argv[1]), lambda: datetime(2026, 1, 1, tzinfo=UTC))
run = runs.claim(sys.argv[2], timedelta(seconds=10))
print(run.run_id if run else "none")
"""


def test_a_run_is_started_once(tables: Tables, pack: str) -> None:
    first = tables.runs.start(pack, "r1", RunKind.TRAIN, "asked")
    assert tables.runs.start(pack, "r1", RunKind.TRAIN, "again") == first
    with pytest.raises(AlreadyExists, match="another one"):
        tables.runs.start(pack, "r1", RunKind.GATE, "", "v1")
    with pytest.raises(NotFound, match="no version v7"):
        tables.runs.start(pack, "g1", RunKind.GATE, "", "v7")
    with pytest.raises(NotFound, match="no Pack 'other'"):
        tables.runs.start("other", "r1", RunKind.TRAIN, "")


def test_one_at_a_time_the_oldest_first(tables: Tables, pack: str, clock: Clock) -> None:
    for name in ("a", "b"):
        tables.runs.start(pack, name, RunKind.TRAIN, "")
        clock.now += timedelta(seconds=1)
    taken = tables.runs.claim("me", LEASE)
    assert taken is not None and (taken.run_id, taken.state, taken.attempts) == ("a", RunState.RUNNING, 1)
    assert tables.runs.claim("other", LEASE) is None
    tables.runs.finish(taken, "me", RunState.SUCCEEDED, "done", version="v2")
    after = tables.runs.claim("other", LEASE)
    assert after is not None and after.run_id == "b"
    state = tables.registry.state(pack)
    assert state.last_training_at == clock.now and tables.runs.get(pack, "a").percent == 100


def test_a_lost_lease_is_taken_up_and_its_old_holder_can_change_nothing(
    tables: Tables, pack: str, clock: Clock
) -> None:
    tables.runs.start(pack, "a", RunKind.TRAIN, "")
    first = tables.runs.claim("one", LEASE)
    assert first is not None and tables.runs.renew(first, "one", LEASE) is False
    clock.now += timedelta(seconds=11)
    second = tables.runs.claim("two", LEASE)
    assert second is not None and (second.run_id, second.attempts) == ("a", 2)
    assert second.started_at == first.started_at
    for change in (
        lambda: tables.runs.renew(first, "one", LEASE),
        lambda: tables.runs.change(first, "one", percent=50.0),
        lambda: tables.runs.finish(first, "one", RunState.SUCCEEDED, "too late"),
    ):
        with pytest.raises(LeaseLost):
            change()
    assert tables.runs.get(pack, "a").message == ""


def test_a_run_whose_process_dies_again_and_again_fails(tables: Tables, pack: str, clock: Clock) -> None:
    tables.runs.start(pack, "a", RunKind.TRAIN, "")
    for _ in range(MOST_ATTEMPTS):
        assert tables.runs.claim("me", LEASE) is not None
        clock.now += timedelta(seconds=11)
    assert tables.runs.claim("me", LEASE) is None
    run = tables.runs.get(pack, "a")
    assert run.state is RunState.FAILED and "lost 6 times" in run.message


def test_cancel(tables: Tables, pack: str) -> None:
    tables.runs.start(pack, "a", RunKind.TRAIN, "")
    assert tables.runs.cancel(pack, "a").state is RunState.CANCELLED
    tables.runs.start(pack, "b", RunKind.TRAIN, "")
    run = tables.runs.claim("me", LEASE)
    assert run is not None
    assert tables.runs.cancel(pack, "b").state is RunState.RUNNING
    assert tables.runs.renew(run, "me", LEASE) is True
    tables.runs.finish(run, "me", RunState.CANCELLED, "called off")
    assert tables.runs.cancel(pack, "b").state is RunState.CANCELLED


def test_many_who_start_one_run_at_once_start_one(tables: Tables, pack: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: tables.runs.start(pack, "r1", RunKind.TRAIN, "asked"), range(8)))
    assert started == [tables.runs.get(pack, "r1")] * 8


def test_processes_that_claim_at_once_share_nothing(
    tables: Tables, pack: str, engine: sa.Engine, tmp_path: Path
) -> None:
    tables.runs.start(pack, "a", RunKind.TRAIN, "")
    tables.runs.start(pack, "b", RunKind.TRAIN, "")
    url = engine.url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM, url, f"p{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    answers = sorted(process.communicate()[0].strip() for process in processes)
    assert answers == ["a", "none", "none", "none"]
