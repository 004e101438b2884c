"""The search over a task's parameters: Ray Tune runs the trials, Optuna chooses their parameters.

Trials that an earlier driver of the run finished are told to Optuna and not run again; those that it left unfinished
come first, and resume from their checkpoints.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from packline_core.task import Choice, Metric, Range, SearchSpace

from packline_training.trial import Parameters, TrialOrder, TrialResult, left_by, run_trial

logger = logging.getLogger(__name__)

# A trial shorter than this learns too little for a comparison to be worth the time of a second one.
_TRIAL_SECONDS = 600.0
# A trial keeps to its own time, which begins once its worker has started; Tune's clock is for one that does not end.
_GRACE = 60.0  # seconds
_WORST = 1e30


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds of a run's training.

    Attributes:
        seconds: Of all trials together, those of lost processes included.
        trials: Most trials.
    """

    seconds: float
    trials: int

    @property
    def planned(self) -> int:
        """How many trials share the time; a small budget is spent on one."""
        return min(self.trials, max(1, int(self.seconds // _TRIAL_SECONDS)))

    @property
    def trial_seconds(self) -> float:
        """Of each."""
        return self.seconds / self.planned


@dataclass(frozen=True, slots=True)
class Means:
    """What trials run on: Ray resources of each, and how often one whose process died is started again."""

    resources: Mapping[str, float]
    restarts: int


@dataclass(frozen=True, slots=True)
class Search:
    """A search to be run.

    Attributes:
        order: What all trials share.
        space: What may be varied.
        metric: What is to be good, on each trial's own validation slice.
        budget: Its bounds.
        means: What trials run on.
        called_off: Ends it, when set.
        planned: Is told how many trials have ended and how many share the budget.
    """

    order: TrialOrder
    space: SearchSpace
    metric: Metric
    budget: Budget
    means: Means
    called_off: threading.Event
    planned: Callable[[int, int], None]

    def run(self) -> list[TrialResult]:
        """Runs the trials that are still to be run, and returns the results of all.

        Must be called in a Ray actor that has the methods `progress(percent, stage, metrics) -> bool` and
        `trial_ended()`.
        """
        finished, unfinished = left_by(self.order.folder)
        self.planned(len(finished), self.budget.planned)
        missing = (self.budget.trials if self.budget.planned > 1 else 1) - len(finished)
        left = self.budget.seconds - sum(result.seconds for result in finished)
        if missing > 0 and left > 0:
            first = [*unfinished, *([] if finished or unfinished else [dict(self.space.start)])]
            self._tune(finished, first[:missing], missing, left)
        return left_by(self.order.folder)[0]

    def _tune(self, finished: Sequence[TrialResult], first: Sequence[Parameters], missing: int, seconds: float) -> None:
        # Tune's own files and tables are of no use here, and would load torch into this process.
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
        os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
        from ray import tune
        from ray.tune.stopper import NoopStopper

        called_off = self.called_off

        class CalledOff(tune.Stopper):
            def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
                return False

            def stop_all(self) -> bool:
                return called_off.is_set()

            def __reduce__(self) -> tuple[type, tuple[()]]:
                # Tune saves its settings; an event cannot be saved, nor does a saved copy stop anything.
                return (NoopStopper, ())

        driver = ray.get_runtime_context().current_actor
        trainable = tune.with_parameters(_train, order=self.order, metric=self.metric, driver=driver)
        fixed = missing == 1 and len(first) == 1
        tuner = tune.Tuner(
            tune.with_resources(trainable, dict(self.means.resources)),
            param_space=dict(first[0]) if fixed else None,
            tune_config=tune.TuneConfig(
                search_alg=None if fixed else self._optuna(finished, first),
                num_samples=missing,
                max_concurrent_trials=1,
                time_budget_s=seconds + _GRACE,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self.order.folder / "tune"),
                failure_config=tune.FailureConfig(max_failures=self.means.restarts),
                stop=CalledOff(),
                verbose=0,
            ),
        )
        for error in tuner.fit().errors:
            logger.error("a trial failed: %s", error)

    def _optuna(self, finished: Sequence[TrialResult], first: Sequence[Parameters]) -> Any:
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        searcher = OptunaSearch(
            space={name: _distribution(values) for name, values in self.space.parameters.items()},
            metric="objective",
            mode="min",
            points_to_evaluate=[dict(parameters) for parameters in first],
            # Another one for each attempt: the same would draw again what is known already.
            seed=self.order.seed + len(finished),
        )
        for result in finished:
            searcher.add_evaluated_point(dict(result.parameters), _objective(result, self.metric))
        return searcher


def _distribution(values: Range | Choice) -> Any:
    import optuna.distributions as kinds

    if isinstance(values, Choice):
        return kinds.CategoricalDistribution(values.values)
    if values.integer:
        return kinds.IntDistribution(int(values.low), int(values.high), log=values.log)
    return kinds.FloatDistribution(values.low, values.high, log=values.log)


def _train(config: Parameters, order: TrialOrder, metric: Metric, driver: Any) -> dict[str, float]:
    """A trial in its Ray worker."""
    os.nice(order.niceness)

    def tell(percent: float, stage: str, metrics: Mapping[str, float]) -> bool:
        return bool(ray.get(driver.progress.remote(percent, stage, dict(metrics))))

    objective = _objective(run_trial(order, config, tell), metric)
    ray.get(driver.trial_ended.remote())
    return {"objective": objective}


def _objective(result: TrialResult, metric: Metric) -> float:
    """What is minimised."""
    value = result.metrics.get(metric.name)
    if result.error or value is None:
        return _WORST
    return value if metric.goal == "min" else -value


def best_first(results: Sequence[TrialResult], metric: Metric) -> list[TrialResult]:
    """The trials that ended well, best first."""
    good = [result for result in results if not result.error and metric.name in result.metrics]
    return sorted(good, key=lambda result: _objective(result, metric))
