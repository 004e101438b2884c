"""Is a version worse than another? Tests on what monitoring counted, each with a guard against few requests.

All are one-sided. `WORSE` needs the excess over the manifest's limit to be beyond chance (99 %, `Z`), `FINE` needs the
measured figures to keep the limit, and what lies between is `UNCLEAR`: the rollout holds until more calls have told.
Looking again at each pass raises the chance of a false alarm above 1 %; the manifest's limit, which the *bound* and not
the measured figure must exceed, is the margin against that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from packline_core.manifest import Rollout
from packline_core.proportions import CONFIDENCE_Z, wilson
from packline_core.units import parse_percent

from packline_operator.facts import Figures, Hits, Latency
from packline_operator.reasons import Reason

Z = 2.33
# No version is rejected on fewer bad answers than this, however large a share of its calls they are.
MIN_BAD = 3
# A difference in latency that no caller feels, in milliseconds: below it the ratio of two small numbers says nothing.
LATENCY_FLOOR_MS = 5.0


class Verdict(StrEnum):
    """Of one comparison."""

    FINE = "fine"
    UNCLEAR = "unclear"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, with the reason and the figures in words where it is not `FINE`."""

    verdict: Verdict
    reason: Reason | None = None
    message: str = ""


def judge_shadow(candidate: Figures, active: Figures, rules: Rollout) -> Judgement:
    """A candidate that only reads along: its errors and its agreement with active."""
    shadow = "in shadow"
    errors = share_excess(
        candidate.shadow_errors, candidate.shadow_requests, active.errors, active.requests, _of(rules.max_error_rate)
    )
    least = rules.min_agreement or "0%"
    agreed = agreement(candidate.agreement, candidate.shadow_requests, _of(least))
    return _worst(
        Judgement(
            errors,
            Reason.MORE_ERRORS,
            f"{candidate.shadow_errors} of {candidate.shadow_requests} calls failed {shadow}, "
            f"{active.errors} of {active.requests} with the active version",
        ),
        Judgement(
            agreed,
            Reason.LESS_AGREEMENT,
            f"its answers agree with the active version's to {candidate.agreement:.0%} over "
            f"{candidate.shadow_requests} calls {shadow}, where {least} are asked for",
        ),
    )


def judge_live(version: Figures, other: Figures, rules: Rollout, fast_ms: int | None = None) -> Judgement:
    """A version that answers callers: its errors, latency and corrections against another's; in place of corrections
    its hits, where a truth is no complaint but what a user took.

    Args:
        version: Who is judged.
        other: Against whom.
        rules: By how much it may be worse.
        fast_ms: Who answers nine of ten calls within so many milliseconds is fast enough, whatever the other's time.
    """
    errors = share_excess(version.errors, version.requests, other.errors, other.requests, _of(rules.max_error_rate))
    fast = fast_ms is not None and version.latency is not None and version.latency.p90 <= fast_ms
    slower = (
        Verdict.FINE
        if fast
        else latency_excess(
            version.latency, version.requests, other.latency, other.requests, _of(rules.max_latency_increase)
        )
    )
    corrected = share_excess(
        version.corrected, version.requests, other.corrected, other.requests, _of(rules.max_correction_increase)
    )
    return _worst(
        Judgement(
            errors,
            Reason.MORE_ERRORS,
            f"{version.errors} of {version.requests} calls failed, against {other.errors} of {other.requests}",
        ),
        Judgement(
            slower,
            Reason.SLOWER,
            f"nine of ten calls took up to {_ms(version.latency)}, against {_ms(other.latency)}",
        ),
        Judgement(
            corrected,
            Reason.MORE_CORRECTIONS,
            f"{version.corrected} of {version.requests} answers were corrected, "
            f"against {other.corrected} of {other.requests}",
        )
        if version.hits is None and other.hits is None
        else _judge_hits(version.hits, other.hits, _of(rules.max_correction_increase)),
    )


def hits_missing(hits: Hits | None, other: Hits | None, limit: float) -> Verdict:
    """Whether users took something of a version's answers more rarely than of another's, by more than the share `limit`
    of the other's rate.

    The bound of the difference is that of two intervals (Zou and Donner, Statistics in Medicine 27, 2008), which are
    monitoring's over users, widened from their 90 % to `Z`. Hits are few and come late, so that nothing waits for them:
    what is not clearly worse is fine.
    """
    if hits is None or other is None or other.hits < MIN_BAD:
        return Verdict.FINE
    up, down = hits.high - hits.rate, other.rate - other.low
    bound = other.rate - hits.rate - math.hypot(up, down) * Z / CONFIDENCE_Z
    return Verdict.WORSE if bound > limit * other.rate else Verdict.FINE


def _judge_hits(hits: Hits | None, other: Hits | None, limit: float) -> Judgement:
    mine, theirs = hits or Hits(), other or Hits()
    return Judgement(
        hits_missing(hits, other, limit),
        Reason.FEWER_HITS,
        f"users took something of {mine.hits} of {mine.answers} answers, against {theirs.hits} of {theirs.answers}",
    )


def share_excess(bad: int, calls: int, other_bad: int, other_calls: int, limit: float) -> Verdict:
    """Whether a share of bad calls exceeds another by more than `limit`.

    The lower bound of the difference is Newcombe's (Statistics in Medicine 17, 1998, method 10), from two Wilson
    intervals. Where the other had no calls its share counts as nought.
    """
    if calls <= 0:
        return Verdict.FINE
    share, other = min(bad / calls, 1.0), min(other_bad / other_calls, 1.0) if other_calls > 0 else 0.0
    if share - other <= limit:
        return Verdict.FINE
    low, _ = wilson(share, calls, Z)
    high = wilson(other, other_calls, Z)[1] if other_calls > 0 else 0.0
    bound = share - other - math.hypot(share - low, high - other)
    return Verdict.WORSE if bad >= MIN_BAD and bound > limit else Verdict.UNCLEAR


def latency_excess(
    latency: Latency | None, calls: int, other: Latency | None, other_calls: int, limit: float
) -> Verdict:
    """Whether the 90th percentile exceeds another's by more than the share `limit`.

    The bounds of a percentile are the quantiles at the bounds of its rank (binomial), read from the known quantiles by
    straight lines; below some 60 calls on either side they lie beyond what is known, and nothing is called worse.
    """
    if latency is None or other is None or calls <= 0 or other_calls <= 0:
        return Verdict.FINE
    if latency.p90 <= other.p90 * (1 + limit) or latency.p90 - other.p90 <= LATENCY_FLOOR_MS:
        return Verdict.FINE
    width, other_width = (Z * math.sqrt(0.9 * 0.1 / n) for n in (calls, other_calls))
    if max(width, other_width) > 0.09:
        return Verdict.UNCLEAR
    low, high = _quantile(latency, 0.9 - width), _quantile(other, 0.9 + other_width)
    return Verdict.WORSE if low > high * (1 + limit) and low - high > LATENCY_FLOOR_MS else Verdict.UNCLEAR


def agreement(mean: float, calls: int, least: float) -> Verdict:
    """Whether a mean of values from 0 to 1 lies below `least`, by Hoeffding's bound at 99 %."""
    if calls <= 0 or mean >= least:
        return Verdict.FINE
    return Verdict.WORSE if mean + math.sqrt(math.log(100) / (2 * calls)) < least else Verdict.UNCLEAR


def _quantile(latency: Latency, q: float) -> float:
    if q <= 0.9:
        return latency.p50 + (latency.p90 - latency.p50) * (q - 0.5) / 0.4
    return latency.p90 + (latency.p99 - latency.p90) * (q - 0.9) / 0.09


def _worst(*judgements: Judgement) -> Judgement:
    for verdict in (Verdict.WORSE, Verdict.UNCLEAR):
        for judgement in judgements:
            if judgement.verdict is verdict:
                return judgement
    return Judgement(Verdict.FINE)


def _of(percent: str) -> float:
    return parse_percent(percent)


def _ms(latency: Latency | None) -> str:
    return "an unknown time" if latency is None else f"{latency.p90:.0f} ms"
