from datetime import timedelta

import pytest
from packline_core.units import parse_duration


def test_durations() -> None:
    assert parse_duration("1d12h") == timedelta(hours=36)
    assert parse_duration("0s") == timedelta(0)


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1m", "5m5h", "9999999999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|too long"):
        parse_duration(text)
