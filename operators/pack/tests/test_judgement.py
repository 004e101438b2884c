import math

import pytest
from packline_core.manifest import Rollout
from packline_operator.facts import Figures, Latency
from packline_operator.judgement import (
    Verdict,
    agreement,
    judge_live,
    judge_shadow,
    latency_excess,
    share_excess,
    wilson,
)
from packline_operator.reasons import Reason

RULES = Rollout()


@pytest.mark.parametrize(
    ("bad", "calls", "other_bad", "other_calls", "verdict"),
    [
        (0, 0, 0, 0, Verdict.FINE),
        (0, 500, 0, 500, Verdict.FINE),
        (5, 500, 0, 500, Verdict.FINE),  # the limit itself is kept
        (1, 1, 0, 500, Verdict.UNCLEAR),  # one failed call is no evidence
        (2, 2, 0, 500, Verdict.UNCLEAR),
        (3, 3, 0, 500, Verdict.WORSE),  # three of three are
        (3, 200, 0, 500, Verdict.UNCLEAR),
        (40, 200, 0, 500, Verdict.WORSE),
        (40, 200, 100, 500, Verdict.FINE),  # active fails as often: not the candidate's fault
        (40, 200, 0, 0, Verdict.WORSE),  # nothing to compare with: its share stands alone
    ],
)
def test_share_excess(bad: int, calls: int, other_bad: int, other_calls: int, verdict: Verdict) -> None:
    assert share_excess(bad, calls, other_bad, other_calls, limit=0.01) is verdict


def test_wilson_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I: 81 of 263 at 95 %.
    low, high = wilson(81 / 263, 263, z=1.959964)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0.0, 10)[0] == 0.0
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("factor", "calls", "verdict"),
    [
        (1.0, 1000, Verdict.FINE),
        (1.19, 1000, Verdict.FINE),
        (1.3, 20, Verdict.UNCLEAR),  # too few calls for any bound
        (1.3, 100, Verdict.UNCLEAR),
        (3.0, 100, Verdict.WORSE),
        (1.5, 20_000, Verdict.WORSE),
    ],
)
def test_latency_excess(factor: float, calls: int, verdict: Verdict) -> None:
    other = Latency(100, 200, 300)
    latency = Latency(100 * factor, 200 * factor, 300 * factor)
    assert latency_excess(latency, calls, other, calls, limit=0.2) is verdict


def test_a_difference_that_nobody_feels_is_none() -> None:
    assert latency_excess(Latency(1, 4, 5), 10_000, Latency(0.5, 1, 2), 10_000, limit=0.2) is Verdict.FINE


def test_latency_needs_both() -> None:
    assert latency_excess(Latency(1, 900, 950), 500, None, 0, limit=0.2) is Verdict.FINE
    assert latency_excess(None, 0, Latency(1, 2, 3), 500, limit=0.2) is Verdict.FINE


@pytest.mark.parametrize(
    ("mean", "calls", "verdict"),
    [(0.9, 5, Verdict.FINE), (0.4, 20, Verdict.UNCLEAR), (0.4, 1000, Verdict.WORSE), (0.0, 10, Verdict.WORSE)],
)
def test_agreement(mean: float, calls: int, verdict: Verdict) -> None:
    assert agreement(mean, calls, least=0.5) is verdict


def test_figures_that_are_none_are_not_called_worse() -> None:
    assert agreement(math.nan, 100, least=0.5) is not Verdict.WORSE
    assert latency_excess(Latency(math.nan, math.nan, math.nan), 100, Latency(1, 2, 3), 100, 0.2) is not Verdict.WORSE


def test_the_worst_is_told_with_its_figures() -> None:
    live = judge_live(
        Figures(requests=200, errors=1, corrected=80), Figures(requests=1000, errors=0, corrected=20), RULES
    )
    assert (live.verdict, live.reason) == (Verdict.WORSE, Reason.MORE_CORRECTIONS)
    assert "80 of 200 answers were corrected, against 20 of 1000" in live.message
    shadow = judge_shadow(Figures(shadow_requests=300, agreement=0.2), Figures(requests=300), RULES)
    assert (shadow.verdict, shadow.reason) == (Verdict.WORSE, Reason.LESS_AGREEMENT)
    assert judge_shadow(Figures(), Figures(), RULES).verdict is Verdict.FINE
