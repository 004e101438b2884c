"""What a Pack is told: counted once, kept through a kill, shared, and taken in by training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

import pytest
from packline_core.errors import StorageFull
from packline_core.task import Example, State
from packline_recommendation.events import Raw
from packline_recommendation.examples import History, Item, read_example
from packline_recommendation.reading import recorded_examples
from packline_recommendation.state import PackState, Told
from packline_recommendation.task import RecommendationTask
from packline_recommendation.view import HALF_LIFE, StateView

from tests.backends.fixtures import Backend

pytestmark = pytest.mark.backends
WRITER = """
import sys
from packline_core.task import State
from packline_recommendation.events import Raw
from packline_recommendation.state import PackState, Told
pack = PackState(State("shop", sys.argv[1], ""))
number = 0
while True:
    pack.record([Told(f"e{number}", "u", Raw(f"i{number}", "purchase", None, number))]).result()
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.fixture
def place(backend: Backend) -> State:
    return State("shop", backend.database, backend.store)


def told(number: int, user: str = "u", item: str = "a", event: str = "purchase", at: int = 100) -> Told:
    return Told(f"e{number}", user, Raw(item, event, None, at + number))


def test_events_count_once_and_packs_are_apart(place: State) -> None:
    pack, other = PackState(place), PackState(State("other", place.database, ""))
    assert pack.record([told(1), told(2), told(1)]).result(10) == (2, 1)
    assert pack.record([told(2), told(3)]).result(10) == (1, 1)
    assert other.record([told(1)]).result(10) == (1, 0)
    assert [raw.time for raw in pack.recent("u")] == [101, 102, 103]
    assert not pack.recent("nobody") and len(other.recent("u")) == 1
    pack.close()
    other.close()


def test_a_deleted_pack_leaves_nothing_and_others_keep_theirs(place: State) -> None:
    pack, other = PackState(place), PackState(State("other", place.database, ""))
    for one in (pack, other):
        one.record([told(1)]).result(10)
        one.put_items([Item("a")])
    RecommendationTask().forget(place)
    RecommendationTask().forget(place)
    assert not pack.recent("u") and not list(pack.listed()) and not list(pack.events())
    assert len(other.recent("u")) == len(list(other.listed())) == 1
    pack.close()
    other.close()


def test_what_another_process_writes_is_seen_at_once(place: State) -> None:
    pack, other = PackState(place), PackState(place)
    for number in range(50):
        assert len(pack.recent("u")) == number and len(pack.recent("v")) == number // 10
        other.record([told(number)]).result(10)
        if number % 10 == 9:
            other.record([told(1000 + number, "v")]).result(10)
    RecommendationTask().forget(place)
    assert not pack.recent("u")
    other.record([told(1)]).result(10)
    assert len(pack.recent("u")) == 1
    pack.close()
    other.close()


def test_many_calls_at_once_are_each_answered(place: State) -> None:
    pack = PackState(place)
    calls = [pack.record([told(number), told(number + 1)]) for number in range(0, 400, 2)]
    wait(calls, 30)
    assert sum(call.result()[0] for call in calls) == 400
    assert [one.number for one in pack.events()] == sorted(one.number for one in pack.events())
    pack.close()


def test_kill_9_loses_nothing_acknowledged(place: State) -> None:
    acknowledged = -1
    command = [sys.executable, "-c", WRITER, place.database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged == 60:
                os.kill(writer.pid, signal.SIGKILL)
    assert acknowledged >= 60
    pack = PackState(place)
    kept = {one.event_id for one in pack.events()}
    assert {f"e{number}" for number in range(acknowledged + 1)} <= kept
    pack.close()


def test_a_full_disk_is_told_and_nothing_is_half_written(tmp_path: Path) -> None:
    place = State("shop", f"sqlite:///{tmp_path / 'state.db'}", "")
    pack = PackState(place)
    pack.record([told(1)]).result(10)
    with pack._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    error = pack.record([told(number, "u" * 180, "i" * 180) for number in range(2, 3000)]).exception(30)
    assert isinstance(error, StorageFull)
    assert len(list(pack.events())) == 1
    pack.close()


def test_what_was_told_becomes_examples_that_only_change_with_it(place: State) -> None:
    pack = PackState(place)
    pack.put_items([Item("a", "볼트", {"line": "x"})])
    pack.record([told(1), told(2, item="b"), told(3, item="c"), told(4, "v"), told(5, "w", event="hide")]).result(10)

    def examples() -> dict[str, Example]:
        return {row.key: row for row in recorded_examples(place) if isinstance(row, Example)}

    first = examples()
    assert set(first) == {"item:a", "user:u#recorded", "next:u", "user:v#recorded", "user:w#recorded"}
    known = read_example(first["user:u#recorded"])
    assert isinstance(known, History)
    assert [event.item for event in known.history] == ["a", "b"] and [event.item for event in known.held] == ["c"]
    hidden = read_example(first["user:w#recorded"])
    assert isinstance(hidden, History) and list(hidden.hidden) == ["a"] and not hidden.history
    assert examples() == first
    pack.record([told(6, item="d")]).result(10)
    assert {key for key, example in examples().items() if example != first[key]} == {"user:u#recorded", "next:u"}
    pack.close()


def test_items_replace_items(place: State) -> None:
    pack = PackState(place)
    assert pack.put_items([Item("a", "one"), Item("b"), Item("a", "two")]) == 2
    assert pack.put_items([Item("a", "two"), Item("b", "", {"x": "y"})]) == 1
    assert [item for _, item in pack.listed()] == [Item("a", "two"), Item("b", "", {"x": "y"})]
    pack.close()


def test_recent_events_count_more_and_returns_less(place: State) -> None:
    pack, month = PackState(place), int(HALF_LIFE)
    view = StateView(pack)
    rows = [("old", 0), ("old", 1), ("new", 2 * month), ("gone", 2 * month), ("refused", 2 * month)]
    pack.record([Told(f"{n}", "u", Raw(item, "purchase", None, 10 + at)) for n, (item, at) in enumerate(rows)])
    pack.record([Told("r", "u", Raw("gone", "return", None, 11 + 2 * month))])
    pack.record([Told("h", "u", Raw("unseen", "hide", None, 11))]).result(10)
    counts = view.tally(0).counts
    assert counts["new"] > counts["old"] > counts["gone"] >= 0 and "unseen" not in counts
    assert set(view.tally(10 + month).counts) == {"new", "gone", "refused"}
    before = view.revision
    view.refresh()
    assert view.revision == before
    pack.record([told(77, item="late", at=2 * month)]).result(10)
    view.refresh()
    assert "late" in view.tally(0).counts and view.revision > before
    pack.close()


def test_tallies_of_closed_versions_are_counted_no_more(place: State) -> None:
    pack = PackState(place)
    view = StateView(pack)
    kept, gone = view.tally(5), view.tally(0)
    view.forget(5)
    pack.record([told(1, item="late", at=9)]).result(10)
    view.refresh()
    assert "late" in kept.counts and "late" not in gone.counts
    assert view.tally(5) is kept and "late" in view.tally(0).counts
    pack.close()
