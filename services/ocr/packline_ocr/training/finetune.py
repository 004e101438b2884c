"""Fine-tunes a recogniser on lines: AdamW, warm-up and decay, averaged weights, the best of them kept.

Weights are averaged along the way (Polyak and Juditsky 1992) and at last with the base's (WiSE-FT, Wortsman et al.
2022, arXiv:2109.01903), so that few documents teach without making the model forget; held-out pages choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packline_core.errors import Cancelled
from packline_core.task import TrainContext
from torch import Tensor

from packline_ocr.settings import RecogniserSettings
from packline_ocr.training.batching import batch_count, epoch_batches
from packline_ocr.training.corpus import Corpus
from packline_ocr.training.gradients import Gradients
from packline_ocr.training.judging import Judge
from packline_ocr.training.recogniser import OnnxRecogniser

MIN_STEPS = 120  # made where the epochs would be fewer
_WARM_UP = 20  # steps
_LAST_RATE = 0.02  # share of the learning rate that is left at the end
_WEIGHT_DECAY = 0.01
_MEMORY = 0.99  # of the running average of weights, once it is warm
_CLIP = 0.6  # norm of the gradient of a character's mean loss
_LOOKS = 4  # times that held-out pages are read on the way
_SHARES = (0.75, 0.5)  # of what was learned, the rest being the base's, tried beside all of it
_SHARE_UNSEEN = 0.75  # taken where no page is held out
_SAVE_EVERY = 25  # steps
_RESERVE = 5.0  # seconds to write results in

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What may be varied.

    Attributes:
        learning_rate: The highest.
        epochs: Times that every crop is seen.
        augmentation: Strength, 0 to 1.5; see `augmented`.
        case: Share of the loss that heeds case, 0 to 1; see `Gradients`.
    """

    learning_rate: float
    epochs: int
    augmentation: float
    case: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out; the recogniser holds the chosen weights.

    Attributes:
        metrics: Of the chosen weights on the judging pages.
        base_metrics: Of the base's.
        steps: Done.
        planned: That the recipe asked for; more than `steps` where time ran out.
    """

    metrics: Mapping[str, float]
    base_metrics: Mapping[str, float]
    steps: int
    planned: int


@dataclass(slots=True)
class _State:
    """All that a training needs to go on in another process, beside its inputs."""

    seconds: float
    base_metrics: Mapping[str, float]
    weights: Weights
    average: Weights
    optimizer: dict[str, Any]
    best: Weights
    best_metrics: Mapping[str, float]
    step: int = 0
    looks: int = 0


class FineTuning:
    """One training.

    Args:
        recogniser: With the base's weights, grown to the dictionary; trained in place.
        corpus: What to train on and to judge by.
        characters: The dictionary, as grown.
        settings: Of the recogniser.
        recipe: How to train.
        seed: Of all chance.
        context: Time, threads, checkpoints, progress.
    """

    def __init__(
        self,
        recogniser: OnnxRecogniser,
        corpus: Corpus,
        *,
        characters: Sequence[str],
        settings: RecogniserSettings,
        recipe: Recipe,
        seed: int,
        context: TrainContext,
    ) -> None:
        self._recogniser = recogniser.to("cuda" if torch.cuda.is_available() else "cpu")
        self._weights = dict(recogniser.named_parameters())
        self._base = _copy(self._weights)
        self._optimizer = torch.optim.AdamW(self._weights.values(), recipe.learning_rate, weight_decay=_WEIGHT_DECAY)
        self._corpus = corpus
        self._widths = [sample.width for sample in corpus.samples]
        self._recipe = recipe
        self._seed = seed
        self._context = context
        self._path = context.checkpoints / "training.pt"
        self._judge = Judge(corpus.judging, settings, characters, context.checkpoints / "judged.onnx", context.threads)
        self._gradients = Gradients(
            recogniser,
            settings,
            characters,
            augmentation=recipe.augmentation,
            case=recipe.case,
            threads=context.threads,
        )

    def run(self) -> Outcome:
        """Trains until the steps are done or the time is spent, then blends; goes on where checkpoints hold a training
        that was cut off. Raises `Cancelled` where the run was called off; what was done so far is kept.
        """
        try:
            return self._run()
        finally:
            self._gradients.close()

    def _run(self) -> Outcome:
        began = self._context.seconds_left
        base_metrics = self._score(self._base)
        reserve = _RESERVE + (began - self._context.seconds_left) * (2 + len(_SHARES))
        state = self._resumed() or _State(
            seconds=self._context.seconds_left,
            base_metrics=base_metrics,
            weights=_copy(self._weights),
            average=_copy(self._weights),
            optimizer=self._optimizer.state_dict(),
            best=self._base,
            best_metrics=base_metrics,
        )
        per_epoch = batch_count(self._widths)
        planned = max(self._recipe.epochs * per_epoch, MIN_STEPS)
        available = max(state.seconds - reserve, 1e-9)
        progress = state.step / planned
        order: dict[int, list[list[int]]] = {}
        while progress < 1:
            epoch, place = divmod(state.step, per_epoch)
            if epoch not in order:
                order = {epoch: epoch_batches(self._widths, self._seed, epoch)}
            loss = self._advance(state, order[epoch][place], progress)
            in_time = 1 - (self._context.seconds_left - reserve) / available
            progress = min(max(state.step / planned, in_time), 1.0)
            if progress >= (state.looks + 1) / _LOOKS:
                self._look(state, progress)
            if progress == 1 or state.step % _SAVE_EVERY == 0:
                self._save(state)
            told = {"loss": loss, **state.best_metrics}
            try:
                self._context.report(95 * progress, f"step {state.step} of {planned}", told)
            except Cancelled:
                self._save(state)
                raise
        metrics = self._blend(state)
        return Outcome(metrics, state.base_metrics, state.step, planned)

    def _advance(self, state: _State, batch: Sequence[int], progress: float) -> float:
        """One step; gives the loss."""
        decay = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * decay * min((state.step + 1) / _WARM_UP, 1.0)
        samples = [self._corpus.samples[index] for index in batch]
        loss, gradients = self._gradients.of(samples, f"{self._seed}:{state.step}")
        for weight, gradient in zip(self._weights.values(), gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._weights.values(), _CLIP)
        self._optimizer.step()
        state.step += 1
        kept = min(_MEMORY, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(state.average.values()), list(self._weights.values()), 1 - kept)
        return loss

    def _look(self, state: _State, progress: float) -> None:
        """Scores the averaged weights and keeps them where they are the best so far."""
        metrics = self._score(state.average)
        # The last of several are preferred where no page tells which are better.
        if state.looks == 0 or not self._corpus.unseen or _error(metrics) <= _error(state.best_metrics):
            state.best, state.best_metrics = _copy(state.average), metrics
        state.looks = math.floor(progress * _LOOKS)

    def _blend(self, state: _State) -> Mapping[str, float]:
        """Chooses how much of what was learned is kept; leaves it in the recogniser."""
        shares = (1.0, *_SHARES) if self._corpus.unseen else (_SHARE_UNSEEN,)
        scored = []
        for share in shares:
            weights = {name: torch.lerp(base, state.best[name], share) for name, base in self._base.items()}
            scored.append((self._score(weights), weights))
        metrics, chosen = min(scored, key=lambda pair: _error(pair[0]))
        self._set(chosen)
        return metrics

    def _score(self, weights: Weights) -> Mapping[str, float]:
        current = _copy(self._weights)
        self._set(weights)
        metrics = self._judge.score(self._recogniser)
        self._set(current)
        return metrics

    def _set(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(weights[name])

    def _save(self, state: _State) -> None:
        state.weights, state.optimizer = _copy(self._weights), self._optimizer.state_dict()
        _save_whole({name: getattr(state, name) for name in state.__slots__}, self._path)

    def _resumed(self) -> _State | None:
        if not self._path.exists():
            return None
        device = next(iter(self._weights.values())).device
        state = _State(**torch.load(self._path, map_location=device, weights_only=True))
        self._set(state.weights)
        self._optimizer.load_state_dict(state.optimizer)
        return state


def _save_whole(value: object, path: Path) -> None:
    """Writes a file that is there whole or not at all, whenever the process dies."""
    temporary = path.with_name(path.name + ".new")
    torch.save(value, temporary)
    temporary.replace(path)


def _copy(weights: Mapping[str, Tensor]) -> Weights:
    return {name: value.detach().clone() for name, value in weights.items()}


def _error(metrics: Mapping[str, float]) -> tuple[float, float]:
    """What is to be small: character errors, and among equals those that case and spaces make."""
    return metrics.get("cer", 1.0), metrics.get("cer_strict", 1.0)
