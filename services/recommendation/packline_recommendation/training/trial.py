"""One trial, as the Task protocol has it: examples in, a recommender chosen by held-out events and trained on all."""

from __future__ import annotations

import torch
from packline_core.task import Choice, Examples, Range, SearchSpace, TrainContext, Trained, Trial

from packline_recommendation.training.corpus import gather
from packline_recommendation.training.families import BLEND, FAMILIES, Parameters
from packline_recommendation.training.output import write_output
from packline_recommendation.training.selection import Selection

RESULT = "result"


def search_space(base: str) -> SearchSpace:
    """What may be varied; it starts at a blend of all families."""
    del base
    return SearchSpace(
        parameters={
            "family": Choice(FAMILIES),
            "ridge": Range(0.2, 5.0, log=True),
            "width": Choice((64, 128, 256)),
            "blocks": Choice((1, 2)),
            "dropout": Range(0.1, 0.5),
            "learning_rate": Range(5e-4, 2e-3, log=True),
        },
        start={
            "family": BLEND,
            "ridge": 1.0,
            "width": 128,
            "blocks": 1,
            "dropout": 0.3,
            "learning_rate": 1e-3,
        },
    )


def train(trial: Trial, data: Examples, context: TrainContext) -> Trained:
    """Trains one trial; goes on where the context's checkpoints hold an earlier attempt.

    Raises:
        InvalidInput: There is nothing to learn from.
        Cancelled: The run was called off.
    """
    torch.set_num_threads(context.threads)
    context.report(0, f"reading {len(data)} examples", {})
    corpus = gather(data)
    selection = Selection(Parameters.of(trial.parameters), corpus.log, corpus.items, trial.seed, context)
    chosen = selection.run()
    folder = context.checkpoints / RESULT
    context.report(97, "writing the model", chosen.metrics)
    write_output(chosen, corpus, folder, family=selection.parameters.family)
    context.report(100, "trained", chosen.metrics)
    return Trained(folder, chosen.metrics, chosen.notes)
