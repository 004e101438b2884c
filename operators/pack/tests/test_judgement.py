import math

import pytest
from packline_core.manifest import Rollout
from packline_operator.facts import Figures, Hits, Latency
from packline_operator.judgement import (
    Verdict,
    agreement,
    hits_missing,
    judge_live,
    judge_shadow,
    latency_excess,
    share_excess,
)
from packline_operator.reasons import Reason

RULES = Rollout(min_agreement="50%")


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


def test_who_is_fast_enough_for_the_pack_is_not_slower() -> None:
    version, other = (Figures(1000, latency=Latency(p90 / 2, p90, p90 * 2)) for p90 in (40.0, 10.0))
    assert judge_live(version, other, RULES).reason is Reason.SLOWER
    assert judge_live(version, other, RULES, fast_ms=50).verdict is Verdict.FINE
    assert judge_live(version, other, RULES, fast_ms=30).reason is Reason.SLOWER


@pytest.mark.parametrize(
    ("hits", "other", "verdict"),
    [
        (Hits(1000, 100, 0.10, 0.085, 0.117), Hits(1000, 200, 0.20, 0.180, 0.222), Verdict.WORSE),
        (Hits(1000, 185, 0.185, 0.166, 0.206), Hits(1000, 200, 0.20, 0.180, 0.222), Verdict.FINE),  # may be chance
        (Hits(20, 0, 0.0, 0.0, 0.12), Hits(1000, 100, 0.10, 0.085, 0.117), Verdict.FINE),  # so may none of twenty
        (Hits(1000, 0, 0.0, 0.0, 0.003), Hits(1000, 2, 0.002, 0.001, 0.006), Verdict.FINE),  # nor do two hits prove
        (Hits(1000, 300, 0.30, 0.277, 0.325), Hits(1000, 200, 0.20, 0.180, 0.222), Verdict.FINE),
        (None, Hits(1000, 200, 0.20, 0.180, 0.222), Verdict.FINE),
    ],
)
def test_hits_missing(hits: Hits | None, other: Hits, verdict: Verdict) -> None:
    assert hits_missing(hits, other, limit=0.05) is verdict


def test_what_users_took_is_no_complaint() -> None:
    many, few = Hits(1000, 400, 0.40, 0.375, 0.426), Hits(1000, 100, 0.10, 0.085, 0.117)
    better = judge_live(Figures(1000, corrected=400, hits=many), Figures(1000, corrected=100, hits=few), RULES)
    assert better.verdict is Verdict.FINE
    worse = judge_live(Figures(1000, corrected=100, hits=few), Figures(1000, corrected=400, hits=many), RULES)
    assert (worse.verdict, worse.reason) == (Verdict.WORSE, Reason.FEWER_HITS)
    assert "users took something of 100 of 1000 answers, against 400 of 1000" in worse.message
