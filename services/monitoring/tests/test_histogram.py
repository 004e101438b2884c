"""Latency bins: within 1 % of the truth, whatever the latencies."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packline_monitoring.histogram import ACCURACY, bin_of, middle, quantile

SECONDS = st.floats(1e-6, 86_400)


@given(SECONDS)
def test_a_bin_stands_for_its_latencies(seconds: float) -> None:
    assert middle(bin_of(seconds)) == pytest.approx(seconds, rel=ACCURACY * 1.0001)


@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_that_of_the_sorted_latencies(latencies: list[float], share: float) -> None:
    bins: dict[int, int] = {}
    for seconds in latencies:
        bins[bin_of(seconds)] = bins.get(bin_of(seconds), 0) + 1
    true = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    assert quantile(bins, share) == pytest.approx(true, rel=ACCURACY * 1.0001)


def test_nothing_has_no_quantile_and_nothing_is_too_short() -> None:
    assert quantile({}, 0.5) is None
    assert bin_of(0.0) == bin_of(1e-6)
