"""What is accepted as a schedule, cronsim can run."""

from datetime import UTC, datetime

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from packline_core.cron import check_schedule

_NUMBER = st.integers(0, 33).map(str)
_NAMES = ("SUN", "mon", "TUE", "SAT", "JAN", "feb", "APR", "DEC", "04", "07", "30", "31", "L", "LW", "5L", "1#2", "2")
_VALUE = _NUMBER | st.sampled_from(_NAMES)
_SPAN = st.just("*") | st.tuples(_VALUE, _VALUE).map("-".join)
_FIELD = st.lists(_VALUE | _SPAN | st.tuples(_SPAN, _NUMBER).map("/".join), min_size=1, max_size=3).map(",".join)


@given(st.tuples(st.just("0"), st.just("0"), _FIELD, _FIELD, st.just("*") | _FIELD).map(" ".join))
def test_what_is_accepted_can_be_run(schedule: str) -> None:
    try:
        check_schedule(schedule)
    except ValueError:
        return
    next(CronSim(schedule, datetime(2000, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("0 0 1 1 FRI-MON", "must rise"),
        ("0 18-8 * * *", "must rise"),
        ("0 0 30 2 *", "such a day"),
        ("0 0 31 4,SEP *", "such a day"),
        ("60 * * * *", "five cron fields"),
        ("0 0 * * 1 ", "five cron fields"),
    ],
)
def test_what_is_wrong_is_said(schedule: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_schedule(schedule)


@pytest.mark.parametrize("schedule", ["0 0 30 4 *", "0 0 31 feb-mar *", "0 0 31 2 MON", "5,*/20 0 1-7,L * 5L,1#2"])
def test_schedules(schedule: str) -> None:
    assert check_schedule(schedule) == schedule
