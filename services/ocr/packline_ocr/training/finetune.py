"""Fine-tunes a recogniser on lines: Adam, warm-up and decay, averaged weights.

Weights are averaged along the way (Polyak and Juditsky 1992) and at last with the base's (WiSE-FT, Wortsman et al.
2022, arXiv:2109.01903), so that few documents teach without making the model forget. Held-out pages choose how much of
what was learned is kept and tell how good it is; then, where time allows, all is learned once more, them included.
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
from packline_ocr.training.lines import Sample
from packline_ocr.training.recogniser import OnnxRecogniser

MIN_STEPS = 120  # made where the epochs would be fewer
_WARM_UP = 20  # steps
_LAST_RATE = 0.02  # share of the learning rate that is left at the end
_MEMORY = 0.99  # of the running average of weights, once it is warm
_CLIP = 0.6  # norm of the gradient of a character's mean loss
_SHARES = (0.75, 1.0, 0.5)  # of what was learned, the rest being the base's; the first where no page is held out
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
        metrics: On the judging pages, of weights that did not see them where any are held out.
        base_metrics: Of the base's.
        steps: Done.
        planned: What the recipe asked for; more than `steps` where time ran out.
    """

    metrics: Mapping[str, float]
    base_metrics: Mapping[str, float]
    steps: int
    planned: int


@dataclass(slots=True)
class _State:
    """All that a training needs to go on in another process, beside its inputs.

    Attributes:
        seconds: That were left when the pass began.
        base_metrics: Of the base.
        weights: In training.
        average: Of them along the way.
        optimizer: Its state.
        number: Of the pass: 0 without the held-out pages, 1 with them.
        step: Steps done in this pass.
        before: Steps done in the pass before.
        share: Of what was learned that is kept; None before held-out pages chose it.
        metrics: Of what they chose.
    """

    seconds: float
    base_metrics: Mapping[str, float]
    weights: Weights
    average: Weights
    optimizer: dict[str, Any]
    number: int = 0
    step: int = 0
    before: int = 0
    share: float | None = None
    metrics: Mapping[str, float] | None = None


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
        self._optimizer = self._new_optimizer(recipe.learning_rate)
        self._corpus = corpus
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
        whole = [[*corpus.samples, *corpus.held_out]] if corpus.unseen else []
        self._passes = [corpus.samples, *whole]
        self._planned = [self._steps_for(samples) for samples in self._passes]

    def run(self) -> Outcome:
        """Trains until the steps are done or the time is spent; goes on where checkpoints hold a training that was cut
        off. Raises `Cancelled` where the run was called off; what was done so far is kept.
        """
        try:
            return self._run()
        finally:
            self._gradients.close()

    def _run(self) -> Outcome:
        began = self._context.seconds_left
        base_metrics = self._score(self._base)
        reserve = _RESERVE + (began - self._context.seconds_left) * len(_SHARES)
        state = self._resumed() or self._begun(base_metrics)
        if state.share is None:
            self._pass(state, reserve)
            share, metrics = self._choose(state)
            if self._corpus.unseen and self._worth_a_second(state, reserve):
                state = self._begun(base_metrics, number=1, before=state.step)
            state.share, state.metrics = share, metrics
            self._save(state)
        if state.number == 1:
            self._pass(state, reserve)
        assert state.share is not None and state.metrics is not None
        self._set(self._blended(state, state.share))
        return Outcome(state.metrics, state.base_metrics, state.before + state.step, self._steps_until(state))

    def _pass(self, state: _State, end: float) -> None:
        """Trains on the samples of a pass until its steps are done, or only `end` seconds are left."""
        samples, planned, total = self._passes[state.number], self._planned[state.number], self._steps_until(state)
        widths = [sample.width for sample in samples]
        per_epoch = batch_count(widths)
        available = max(state.seconds - end, 1e-9)
        progress = state.step / planned
        order: dict[int, list[list[int]]] = {}
        while progress < 1:
            epoch, place = divmod(state.step, per_epoch)
            if epoch not in order:
                order = {epoch: epoch_batches(widths, self._seed, epoch)}
            loss = self._advance(state, [samples[index] for index in order[epoch][place]], progress)
            in_time = 1 - (self._context.seconds_left - end) / available
            progress = min(max(state.step / planned, in_time), 1.0)
            if progress == 1 or state.step % _SAVE_EVERY == 0:
                self._save(state)
            told = {"loss": loss, **(state.metrics or state.base_metrics)}
            percent = 95 * (total - planned + progress * planned) / sum(self._planned)
            try:
                self._context.report(percent, f"step {state.before + state.step} of {total}", told)
            except Cancelled:
                self._save(state)
                raise

    def _advance(self, state: _State, batch: Sequence[Sample], progress: float) -> float:
        """One step; gives the loss."""
        decay = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = self._recipe.learning_rate * decay * min((state.step + 1) / _WARM_UP, 1.0)
        loss, gradients = self._gradients.of(batch, f"{self._seed}:{state.step}")
        for weight, gradient in zip(self._weights.values(), gradients, strict=True):
            weight.grad = gradient
        torch.nn.utils.clip_grad_norm_(self._weights.values(), _CLIP)
        self._optimizer.step()
        state.step += 1
        kept = min(_MEMORY, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(state.average.values()), list(self._weights.values()), 1 - kept)
        return loss

    def _choose(self, state: _State) -> tuple[float, Mapping[str, float]]:
        """How much of what was learned is kept, and how that reads the judging pages."""
        shares = _SHARES if self._corpus.unseen else _SHARES[:1]
        scored = [(share, self._score(self._blended(state, share))) for share in shares]
        return min(scored, key=lambda pair: _error(pair[1]))

    def _blended(self, state: _State, share: float) -> Weights:
        return {name: torch.lerp(base, state.average[name], share) for name, base in self._base.items()}

    def _begun(self, base_metrics: Mapping[str, float], number: int = 0, before: int = 0) -> _State:
        """A pass at its beginning, from the base."""
        self._set(self._base)
        self._optimizer = self._new_optimizer(self._recipe.learning_rate)
        return _State(
            seconds=self._context.seconds_left,
            base_metrics=base_metrics,
            weights=_copy(self._base),
            average=_copy(self._base),
            optimizer=self._optimizer.state_dict(),
            number=number,
            before=before,
        )

    def _new_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        # No weight decay: the blend with the base holds what was learned near to it.
        return torch.optim.Adam(self._weights.values(), learning_rate)

    def _worth_a_second(self, state: _State, end: float) -> bool:
        """Whether the time is enough: a second pass that has to hurry would be worse than the first."""
        left = self._context.seconds_left
        return left - end >= (state.seconds - left) * self._planned[1] / self._planned[0]

    def _steps_until(self, state: _State) -> int:
        """Planned up to the end of a pass."""
        return sum(self._planned[: state.number + 1])

    def _steps_for(self, samples: Sequence[Sample]) -> int:
        return max(self._recipe.epochs * batch_count([sample.width for sample in samples]), MIN_STEPS)

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
