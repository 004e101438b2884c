import pytest
from packline_core.proportions import wilson


def test_wilson_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263 at 95 %.
    low, high = wilson(81 / 263, 263, z=1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0.0, 10, 2.33)[0] == 0.0
    assert wilson(1.0, 10, 2.33)[1] == pytest.approx(1.0)
