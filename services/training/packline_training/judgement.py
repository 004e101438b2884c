"""The gate's judgement of a candidate: scores of two models on one golden snapshot in, a result in words out.

With e(·) a model's error on a set of examples (the metric itself where less is better, 1 - metric where more is), and
the 90 % interval of the paired difference e(candidate) - e(active) by the bootstrap over groups:

- Not worse on the *old* examples: upper bound of the difference <= tolerance · e(active). That is a one-sided test at
  the 5 % level, so chance alone makes a candidate that is worse by more than the tolerance pass once in twenty.
- Better on the *new* examples: e(active) - e(candidate) >= minImprovement · e(active), and > 0. That is a comparison
  of the two figures, not a test: new examples are few, and what they show has been looked for.
- Where there are no new examples, the second is asked of all (which are then the old ones); where there are no old
  ones, the first is asked of all (the new ones), so that no candidate passes untested.

Golden examples are never trained on, so both figures are of unseen data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from packline_core.stats import paired_difference
from packline_core.task import ExampleScore, Metric

from packline_training.domain import GateOutcome, GateResult, GateSlice


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a manifest asks of a candidate; shares, not percent."""

    metric: Metric
    tolerance: float
    min_improvement: float
    min_golden: int
    on_small_golden: Literal["shadow", "reject", "pass"]


@dataclass(frozen=True, slots=True)
class Scored:
    """Both models' scores of the same examples in the same order."""

    active: Sequence[ExampleScore]
    candidate: Sequence[ExampleScore]


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gate's result, and whether the version may be rolled out."""

    result: GateResult
    passed: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which versions on which snapshot, and when."""

    active: str
    candidate: str
    golden_digest: str
    at: datetime


def judge(rules: GateRules, comparison: Comparison, old: Scored, new: Scored) -> Judgement:
    """Judges a candidate.

    Args:
        rules: What it has to reach.
        comparison: What is compared.
        old: Examples that were golden at the active version's own gate.
        new: Those that became golden since.
    """
    slices = _slice(old, rules.metric), _slice(new, rules.metric)
    count = len(old.active) + len(new.active)
    if count < rules.min_golden and (rules.on_small_golden != "pass" or not count):
        return _too_few(rules, comparison, count, slices)
    not_worse_on = old if old.active else new
    better_on = new if new.active else old
    where_not_worse = "the golden examples known before" if old.active else "the golden examples"
    where_better = "the golden examples" if not (old.active and new.active) else "the golden examples that came since"
    worse_by = _slice(not_worse_on, rules.metric)
    gain = _slice(better_on, rules.metric)
    assert worse_by is not None and gain is not None  # count is above 0
    reasons = []
    bound = _worst(worse_by, rules.metric)
    allowed = rules.tolerance * _error(worse_by.active, rules.metric)
    if bound > allowed:
        reasons.append(
            f"on {where_not_worse} ({worse_by.examples}) its {rules.metric.name} may be worse than "
            f"{comparison.active}'s by {bound:.2%}, where {allowed:.2%} is allowed"
        )
    improvement = _error(gain.active, rules.metric) - _error(gain.candidate, rules.metric)
    wanted = rules.min_improvement * _error(gain.active, rules.metric)
    if improvement < wanted or improvement <= 0:
        reasons.append(
            f"on {where_better} ({gain.examples}) it is {'better' if improvement >= 0 else 'worse'} by "
            f"{abs(improvement):.2%}, where a gain of {'more than 0' if wanted <= 0 else f'{wanted:.2%}'} is asked for"
        )
    figures = f"{rules.metric.name} {gain.active:.2%} -> {gain.candidate:.2%} on {gain.examples} {_examples(gain)}"
    passed = not reasons
    words = f"{comparison.candidate} passed: {figures}" if passed else f"{comparison.candidate}: {'; '.join(reasons)}"
    outcome = GateOutcome.PASSED if passed else GateOutcome.FAILED
    return Judgement(_result(outcome, words, rules, comparison, slices), passed)


def skipped(metric: str, comparison: Comparison) -> Judgement:
    """For a Pack whose gate is off."""
    words = "the gate is off (gate.enabled), so nothing was compared"
    result = GateResult(GateOutcome.SKIPPED, words, metric, comparison.at, comparison.active)
    return Judgement(result, passed=True)


def _too_few(
    rules: GateRules, comparison: Comparison, count: int, slices: tuple[GateSlice | None, GateSlice | None]
) -> Judgement:
    words = f"{count} golden {'example' if count == 1 else 'examples'}, {rules.min_golden} are asked for: "
    words += {
        "shadow": "it goes into shadow and waits for approval",
        "reject": "it is not rolled out (gate.onSmallGolden: reject)",
        "pass": "nothing could be compared, and gate.onSmallGolden lets it pass",
    }[rules.on_small_golden]
    outcome = GateOutcome.PASSED if rules.on_small_golden == "pass" else GateOutcome.TOO_FEW
    return Judgement(_result(outcome, words, rules, comparison, slices), passed=rules.on_small_golden != "reject")


def _result(
    outcome: GateOutcome,
    words: str,
    rules: GateRules,
    comparison: Comparison,
    slices: tuple[GateSlice | None, GateSlice | None],
) -> GateResult:
    return GateResult(
        outcome=outcome,
        reason=words,
        metric=rules.metric.name,
        judged_at=comparison.at,
        active_version=comparison.active,
        golden_digest=comparison.golden_digest,
        old=slices[0],
        new=slices[1],
    )


def _slice(scored: Scored, metric: Metric) -> GateSlice | None:
    if not scored.active:
        return None
    paired = paired_difference(scored.active, scored.candidate, metric.name)
    value, low, high = paired.difference
    return GateSlice(len(scored.active), paired.first, paired.second, value, low, high)


def _error(value: float, metric: Metric) -> float:
    return value if metric.goal == "min" else 1.0 - value


def _worst(part: GateSlice, metric: Metric) -> float:
    """The upper bound of the difference in error."""
    return part.high if metric.goal == "min" else -part.low


def _examples(part: GateSlice) -> str:
    return "example" if part.examples == 1 else "examples"
