from datetime import timedelta

import pytest
from packline_core.units import parse_duration, parse_gpus, parse_percent


def test_durations() -> None:
    assert parse_duration("1d12h") == timedelta(hours=36)
    assert parse_duration("0s") == timedelta(0)


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1m", "5m5h", "999999999d", "1d\n", "\u0663m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0%", "0.5%", "99.999%", "100%", "100.0%"])
def test_percentages(text: str) -> None:
    assert parse_percent(text) == float(text[:-1]) / 100


@pytest.mark.parametrize("text", ["", "5", "100.1%", "101%", "-1%", "1e1%", "0.1234%", " 5%", "\u0665%"])
def test_what_is_no_percentage(text: str) -> None:
    with pytest.raises(ValueError, match="percentage"):
        parse_percent(text)


@pytest.mark.parametrize("text", ["0", "0.25", "1", "16"])
def test_shares_of_a_gpu(text: str) -> None:
    assert parse_gpus(text) == float(text)


@pytest.mark.parametrize("text", ["", "1.5", "0.00001", "-1", "01", "half"])
def test_what_is_no_share_of_a_gpu(text: str) -> None:
    """Ray shares one GPU, and gives several only whole."""
    with pytest.raises(ValueError, match="GPUs"):
        parse_gpus(text)
