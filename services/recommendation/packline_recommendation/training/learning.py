"""Trains the transformer twice: with held-out events, to learn for how long, and then on everything for as long."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from packline_core.errors import Cancelled
from packline_core.task import TrainContext
from torch import Tensor

from packline_recommendation.domain import Floats, Log
from packline_recommendation.training.families import Parameters
from packline_recommendation.training.fitting import Fitting, Recipe, save_whole
from packline_recommendation.training.sequence import Network, Shape

LENGTH = 50
_HEADS = 2
_PLACES = 6_000_000  # that a training looks at, in as many epochs as that makes
_EPOCHS = (20, 60)
_TOKENS = 2048
_NEGATIVES = 1024
_WEIGHT_DECAY = 0.01
_LOOKS = 16
_PATIENCE = 4  # looks without a gain
_SAVE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Learned:
    """How a training went.

    Attributes:
        epochs: After which it was best.
        planned: That the learning rate fell over.
    """

    epochs: int
    planned: int


class Share:
    """A share of a trial's time, which counts on where an earlier process of the trial left off.

    Args:
        context: The trial's.
        path: Where it is kept.
        share: Of what is left now, but for `reserve` seconds.
        reserve: Seconds at the end that are not its own.
    """

    def __init__(self, context: TrainContext, path: Path, share: float, reserve: float) -> None:
        self._context = context
        if path.exists():
            self._start, self._end = json.loads(path.read_text(encoding="utf8"))
        else:
            self._start = context.seconds_left
            self._end = self._start - max(self._start - reserve, 0.0) * share
            path.write_text(json.dumps([self._start, self._end]), encoding="utf8")

    def done(self) -> float:
        """Share of it that is spent; 1 or more where it is over."""
        return float((self._start - self._context.seconds_left) / max(self._start - self._end, 1e-9))


@dataclass(frozen=True, slots=True)
class Learner:
    """What both trainings share.

    Attributes:
        parameters: The trial's.
        text: float32 (items, width), vectors of texts; zeros where items have none.
        seed: Of all chance.
        context: Time, checkpoints, progress.
    """

    parameters: Parameters
    text: Floats
    seed: int
    context: TrainContext

    def choose(
        self, log: Log, judge: Callable[[Network], float], time: Share, percents: tuple[float, float]
    ) -> tuple[Network, Learned]:
        """Trains until held-out events are foretold no better.

        Args:
            log: What may be learned from.
            judge: NDCG of a network on held-out events.
            time: Its bounds.
            percents: Progress of the trial before and after.
        """
        network = self._network()
        recipe = self._recipe(log)
        place = self.context.checkpoints / "chosen.pt"
        best: dict[str, Any] = {"ndcg": -1.0, "epoch": 0, "looks": 0, "weights": {}}
        if place.exists():
            best = torch.load(place, map_location=_device(), weights_only=True)
        fitting = self._fitting(network, log, recipe, "choosing.pt")
        every = max(1, recipe.epochs // _LOOKS)
        saved = self.context.seconds_left
        for epoch in fitting.epochs(time.done):
            if epoch % every == 0 or epoch == recipe.epochs or time.done() >= 1:
                ndcg = judge(fitting.averaged())
                if ndcg > best["ndcg"]:
                    best = {"ndcg": ndcg, "epoch": epoch, "looks": 0, "weights": _copy(network)}
                else:
                    best["looks"] += 1
                fitting.restore()
                save_whole(best, place)
                fitting.save()
            elif saved - self.context.seconds_left > _SAVE_SECONDS:
                fitting.save()
                saved = self.context.seconds_left
            done = max(epoch / recipe.epochs, min(time.done(), 1.0))
            self._tell(
                fitting, percents, done, f"epoch {epoch} of {recipe.epochs}", {"ndcg_of_transformer": best["ndcg"]}
            )
            if best["looks"] >= _PATIENCE:
                break
        if best["weights"]:
            network.load_state_dict(best["weights"], strict=False)
        network.eval()
        # Where time cut it short, the learning rate fell over the epochs that were made.
        planned = recipe.epochs if best["looks"] >= _PATIENCE else max(fitting.epoch, 1)
        return network, Learned(int(best["epoch"]), planned)

    def repeat(self, log: Log, learned: Learned, time: Share, percents: tuple[float, float]) -> Network:
        """Trains on everything as long as was best."""
        network = self._network()
        fitting = self._fitting(network, log, replace(self._recipe(log), epochs=learned.planned), "repeating.pt")
        saved = self.context.seconds_left
        if fitting.epoch < learned.epochs:
            for epoch in fitting.epochs(time.done):
                if saved - self.context.seconds_left > _SAVE_SECONDS or epoch == learned.epochs:
                    fitting.save()
                    saved = self.context.seconds_left
                done = max(epoch / learned.epochs, min(time.done(), 1.0))
                self._tell(fitting, percents, done, f"{epoch} of {learned.epochs} epochs on everything", {})
                if epoch >= learned.epochs:
                    break
        return fitting.averaged()

    def _network(self) -> Network:
        torch.manual_seed(self.seed)
        parameters = self.parameters
        items, width = self.text.shape
        has_text = bool(self.text.any())
        shape = Shape(
            items, width if has_text else 0, parameters.width, parameters.blocks, _HEADS, LENGTH, parameters.dropout
        )
        text: Tensor | None = torch.from_numpy(self.text) if has_text else None
        return Network(shape, text).to(_device())

    def _recipe(self, log: Log) -> Recipe:
        few, many = _EPOCHS
        epochs = min(max(_PLACES // max(len(log), 1), few), many)
        return Recipe(self.parameters.learning_rate, _WEIGHT_DECAY, epochs, _TOKENS, _NEGATIVES)

    def _fitting(self, network: Network, log: Log, recipe: Recipe, name: str) -> Fitting:
        return Fitting(network, log, recipe, seed=self.seed, checkpoint=self.context.checkpoints / name)

    def _tell(
        self, fitting: Fitting, percents: tuple[float, float], done: float, stage: str, metrics: dict[str, float]
    ) -> None:
        first, last = percents
        try:
            self.context.report(first + (last - first) * min(done, 1.0), stage, metrics)
        except Cancelled:
            fitting.save()
            raise


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _copy(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
