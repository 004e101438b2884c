"""A TRAIN run: take in what is new, search, export the best, register it. Every part may be repeated after a kill."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from packline_core.bundle import Bundle
from packline_core.task import Remembering, state_of

from packline_training.bases import put_bundle
from packline_training.candidate import Making, make_candidate
from packline_training.conduct import Conduct, NoCandidate, Outcome
from packline_training.corrections import CorrectionSource
from packline_training.domain import DatasetVersion, Version
from packline_training.engine import base_of
from packline_training.imports import import_state
from packline_training.registry import NewVersion
from packline_training.search import Budget, Means, Search, best_first
from packline_training.sources import take_in_source
from packline_training.trial import TrialOrder, TrialResult
from packline_training.worker import run_apart

_FEWEST = 2


def train(conduct: Conduct, resources: Mapping[str, float]) -> Outcome:
    """Runs to a registered version.

    Args:
        conduct: The run.
        resources: Ray resources of each trial.

    Raises:
        NoCandidate: There is none, and why.
    """
    run, registry = conduct.run, conduct.tables.registry
    made = [version for version in registry.state(run.pack).versions.values() if version.run_id == run.run_id]
    if made:
        # The driver before this one was lost between registering and ending.
        return Outcome(f"{made[0].name} was registered", {"version": made[0].name})
    dataset, notes = _dataset(conduct)
    conduct.tables.runs.change(run, conduct.owner, dataset_digest=dataset.digest)
    start = conduct.bundle(_start_version(conduct))
    limits = conduct.pack.spec.training.budget
    budget = Budget(limits.max_minutes * 60.0, limits.max_trials)
    order = _order(conduct, dataset, start, budget)
    space = conduct.task.search_space(start.manifest.base)
    means = Means(resources, conduct.settings.trial_restarts)
    plan = conduct.progress.plan
    results = Search(order, space, conduct.metric, budget, means, conduct.called_off, plan).run()
    conduct.check()
    trials = best_first(results, conduct.metric)
    failed = [result for result in results if result not in trials]
    conduct.tables.runs.change(run, conduct.owner, trials=[_told(result) for result in (*trials, *failed)])
    if not trials:
        errors = sorted({result.error for result in results if result.error})
        raise NoCandidate(
            f"no trial came to an end: {'; '.join(errors)}" if errors else "no trial came to an end; see training's log"
        )
    conduct.tell(92.0, f"exporting the best of {len(trials)}", trials[0].metrics)
    making = Making(
        run_id=run.run_id,
        start=start,
        dataset=dataset.digest,
        examples=order.examples,
        max_latency_ms=conduct.pack.spec.objective.max_latency_ms,
        seed=order.seed,
        runtime=conduct.runtime,
        folder=conduct.folder,
        now=conduct.clock(),
    )
    candidate = make_candidate(conduct.task, trials, making)
    conduct.check()
    conduct.tell(97.0, "storing it", candidate.trial.metrics)
    new = NewVersion(
        digest=candidate.bundle.digest,
        object_name=put_bundle(conduct.tables.store, candidate.bundle),
        origin=run.run_id,
        base=start.manifest.base,
        run_id=run.run_id,
        dataset_digest=dataset.digest,
        metrics=candidate.trial.metrics,
    )
    version = registry.register(run.pack, new, conduct.tables.runs.guard(run, conduct.owner))
    figures = f"{conduct.metric.name} {candidate.trial.metrics[conduct.metric.name]:.2%}"
    notes = [*notes, *candidate.trial.notes]
    words = f"{version.name} was registered: {figures} on held-out training examples, best of {len(trials)}"
    return Outcome(
        ". ".join(sentence.rstrip(".") for sentence in (words, *notes)),
        {
            "version": version.name,
            "metrics": dict(candidate.trial.metrics),
            "parameters": dict(candidate.trial.parameters),
        },
    )


def _told(result: TrialResult) -> Mapping[str, object]:
    """What is told of a trial."""
    parameters, metrics = dict(result.parameters), dict(result.metrics)
    return {"parameters": parameters, "metrics": metrics, "seconds": result.seconds, "error": result.error}


def _dataset(conduct: Conduct) -> tuple[DatasetVersion, list[str]]:
    """The dataset version to train on, and notes for the user; a run taken up again keeps the one that it had."""
    datasets, run = conduct.tables.datasets, conduct.run
    if run.dataset_digest and (kept := datasets.named(conduct.dataset, run.dataset_digest)) is not None:
        return kept, []
    notes = []
    if conduct.pack.spec.data.source:
        # Before corrections, which know better.
        conduct.tell(0.0, f"importing {conduct.pack.spec.data.source}")
        notes += take_in_source(datasets, conduct.pack, conduct.settings.core.store, conduct.folder, run_apart)
        conduct.check()
    conduct.tell(1.0, "taking in corrections")
    monitoring = CorrectionSource(conduct.settings.core.address, conduct.settings.monitoring_patience)
    taken = monitoring.take_in(datasets, conduct.pack, conduct.tables.store, conduct.tables.registry.cursor(run.pack))
    notes += taken.notes
    conduct.check()
    if isinstance(conduct.task, Remembering):
        conduct.tell(2.0, "taking in what it was told while it served")
        core = conduct.settings.core
        import_state(datasets, conduct.pack, state_of(run.pack, core), core.store, run_apart)
        conduct.check()
    dataset = datasets.newest(conduct.dataset)
    if dataset is None:
        raise NoCandidate(
            "there are no labelled examples yet: import some (`packline import`), or correct predictions "
            "(`packline correct`)"
        )
    if dataset.training_examples < _FEWEST:
        golden = f"{dataset.golden_examples} more {'is' if dataset.golden_examples == 1 else 'are'} kept for judging"
        raise NoCandidate(
            f"{_counted(dataset.training_examples)} to train on is too few ({golden}): at least {_FEWEST} are needed, "
            "to learn from one and choose by another; import more, or lower data.goldenShare before they are imported"
        )
    return dataset, notes


def _start_version(conduct: Conduct) -> Version:
    """The newest version that is the Pack's base model as it came."""
    base = base_of(conduct.pack)
    state = conduct.tables.registry.state(conduct.run.pack)
    bases = [version for version in state.versions.values() if version.origin == base]
    # `auto` may mean another base since the Pack was made; it stays with the one that it has.
    bases = bases or [version for version in state.versions.values() if version.origin == version.base]
    return bases[-1]


def _order(conduct: Conduct, dataset: DatasetVersion, start: Bundle, budget: Budget) -> TrialOrder:
    return TrialOrder(
        task=conduct.task.name,
        base=start.manifest.base,
        start=start.folder,
        examples=conduct.tables.datasets.training(conduct.dataset, dataset.number),
        folder=conduct.folder,
        seed=_seed(conduct.run.run_id),
        seconds=budget.trial_seconds,
        threads=conduct.settings.core.threads,
        niceness=conduct.settings.niceness,
    )


def _seed(run_id: str) -> int:
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:4], "big")


def _counted(count: int) -> str:
    return "1 example" if count == 1 else f"{count or 'no'} examples"
