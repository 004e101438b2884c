"""A GATE run: scores a version and the active one on the same golden snapshot, and keeps the judgement."""

from __future__ import annotations

import os
from collections.abc import Iterator

from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected
from packline_core.serving.preflight import preflight
from packline_core.task import Example, ExampleScore
from packline_core.units import parse_percent

from packline_training.conduct import Conduct, NoCandidate, Outcome
from packline_training.datasets import Golden
from packline_training.domain import GateOutcome, GateResult, VersionState
from packline_training.judgement import Comparison, GateRules, Judgement, Scored, judge, skipped
from packline_training.shards import StoredExamples

_EMPTY = StoredExamples("", ())


def gate(conduct: Conduct) -> Outcome:
    """Runs to a judgement.

    Raises:
        NoCandidate: The version cannot be judged as things stand.
        Conflict: Another version became active meanwhile.
    """
    run, tables = conduct.run, conduct.tables
    state = tables.registry.state(run.pack)
    version = state.version(run.version)
    if version.state is not VersionState.REGISTERED:
        raise NoCandidate(f"{version.name} is {version.state} already; only a registered version goes to the gate")
    dataset = tables.datasets.newest(conduct.dataset)
    number = dataset.number if dataset else 0
    digest = dataset.digest if dataset else ""
    comparison = Comparison(state.active, version.name, digest, conduct.clock())
    if not conduct.pack.spec.gate.enabled:
        judgement = skipped(conduct.metric.name, comparison)
    else:
        active = state.version(state.active)
        golden = (
            tables.datasets.golden(conduct.dataset, number, active.gate_dataset) if dataset else Golden(_EMPTY, _EMPTY)
        )
        try:
            candidate = conduct.bundle(version)
            preflight(candidate, state.task, conduct.runtime, verdicts=conduct.folder / "verdicts")
            judgement = _compare(conduct, comparison, conduct.bundle(active), candidate, golden)
        except BundleRejected as error:
            judgement = _unusable(conduct, comparison, error)
    tables.registry.judge(
        run.pack,
        version.name,
        judgement.result,
        dataset=number,
        passed=judgement.passed,
        guard=tables.runs.guard(run, conduct.owner),
    )
    return Outcome(judgement.result.reason)


def _compare(conduct: Conduct, comparison: Comparison, active: Bundle, candidate: Bundle, golden: Golden) -> Judgement:
    spec = conduct.pack.spec.gate
    rules = GateRules(
        metric=conduct.metric,
        tolerance=parse_percent(spec.tolerance),
        min_improvement=parse_percent(spec.min_improvement),
        min_golden=spec.min_golden,
        on_small_golden=spec.on_small_golden,
    )
    total = 2 * (len(golden.old) + len(golden.new)) or 1
    # Serving goes first on this machine.
    os.nice(conduct.settings.niceness)
    scores: dict[str, tuple[list[ExampleScore], list[ExampleScore]]] = {}
    done = 0
    for name, bundle in ((comparison.active, active), (comparison.candidate, candidate)):
        predictor = conduct.task.load(bundle, conduct.runtime)
        try:
            parts: list[list[ExampleScore]] = []
            for examples in (golden.old, golden.new):
                part = []
                for score in conduct.task.evaluate(predictor, _checked(conduct, examples)):
                    part.append(score)
                    done += 1
                    conduct.tell(95.0 * done / total, f"scoring {name}")
                parts.append(part)
            scores[name] = (parts[0], parts[1])
        finally:
            predictor.close()
    first, second = scores[comparison.active], scores[comparison.candidate]
    return judge(rules, comparison, Scored(first[0], second[0]), Scored(first[1], second[1]))


def _checked(conduct: Conduct, examples: StoredExamples) -> Iterator[Example]:
    for example in examples:
        conduct.check()
        yield example


def _unusable(conduct: Conduct, comparison: Comparison, error: BundleRejected) -> Judgement:
    words = f"{comparison.candidate} cannot be used: {error.message}"
    result = GateResult(
        GateOutcome.FAILED, words, conduct.metric.name, comparison.at, comparison.active, comparison.golden_digest
    )
    return Judgement(result, passed=False)
