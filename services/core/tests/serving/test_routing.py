"""Weights and keys."""

from hypothesis import given
from hypothesis import strategies as st
from packline_core.serving.routing import goes_to_candidate, key_share

WEIGHTS = st.integers(0, 100)


@given(st.text(), st.text(max_size=53), WEIGHTS, WEIGHTS)
def test_a_key_stays_and_a_rising_weight_moves_nobody_back(key: str, pack: str, first: int, second: int) -> None:
    share = key_share(key, pack)
    assert 0 <= share < 1 and share == key_share(key, pack)
    low, high = sorted((first, second))
    assert not goes_to_candidate(share, low) or goes_to_candidate(share, high)


@given(st.text())
def test_none_and_all(key: str) -> None:
    share = key_share(key, "p")
    assert not goes_to_candidate(share, 0)
    assert goes_to_candidate(share, 100)


def test_keys_spread_evenly_and_differently_for_each_pack() -> None:
    for weight in (1, 10, 50):
        hits = sum(goes_to_candidate(key_share(f"user-{n}", "invoices"), weight) for n in range(20_000))
        assert abs(hits / 200 - weight) < 1
    first = [goes_to_candidate(key_share(f"user-{n}", "a"), 50) for n in range(2000)]
    second = [goes_to_candidate(key_share(f"user-{n}", "b"), 50) for n in range(2000)]
    assert 800 < sum(a == b for a, b in zip(first, second, strict=True)) < 1200
