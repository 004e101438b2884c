"""Trains the transformer: sampled softmax over every place of every history, averaged weights, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from packline_recommendation.domain import Log
from packline_recommendation.training.sequence import Network

_WARM_UP = 100  # steps
_MEMORY = 0.995  # of the running average of weights, once it is warm
_CLIP = 1.0
_TEXT_ONLY = 0.2  # share of targets and negatives that are known by their text alone, where there is text


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Attributes:
        learning_rate: The highest.
        weight_decay: AdamW's.
        epochs: Times that every history is seen.
        tokens: Places of a batch.
        negatives: Items that are drawn for each batch; all where the catalogue has no more.
    """

    learning_rate: float
    weight_decay: float
    epochs: int
    tokens: int
    negatives: int


class Sequences:
    """Histories cut to windows of at most `length + 1` items, batched with others of like length."""

    def __init__(self, log: Log, length: int) -> None:
        bounds = log.bounds
        starts: list[npt.NDArray[np.int64]] = []
        ends: list[npt.NDArray[np.int64]] = []
        sizes = np.diff(bounds)
        # Windows are counted from the end, so that the newest is whole; each shares an item with the next.
        for part in range(int(max(0, sizes.max(initial=0) - 2) // length) + 1):
            end = bounds[1:] - part * length
            start = np.maximum(end - length - 1, bounds[:-1])
            long = end - start >= 2
            starts.append(start[long])
            ends.append(end[long])
        self.starts, self.ends = np.concatenate(starts), np.concatenate(ends)
        self._items = log.item

    def batches(self, tokens: int, generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
        """Indices of each batch's windows, in random order; lengths within a batch are alike."""
        sizes = self.ends - self.starts
        order = np.lexsort((generator.random(len(sizes)), sizes))
        # A batch is as wide as its longest window.
        batches, begin = [], 0
        while begin < len(order):
            end = begin + 1
            end = min(len(order), begin + max(1, tokens // int(sizes[order[begin]])))
            width = int(sizes[order[end - 1]])
            end = min(end, begin + max(1, tokens // width))
            batches.append(order[begin:end])
            begin = end
        return [batches[place] for place in generator.permutation(len(batches))]

    def arrays(self, batch: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Inputs (index + 1, 0 is padding) and targets (index, -1 is none) of a batch, int64 (windows, length)."""
        starts, ends = self.starts[batch], self.ends[batch]
        width = int((ends - starts).max())
        places = ends[:, None] - width + np.arange(width)[None, :]
        there = places >= starts[:, None]
        items = np.where(there, self._items[np.where(there, places, 0)].astype(np.int64), -1)
        targets = np.where(items[:, :-1] >= 0, items[:, 1:], -1)
        return items[:, :-1] + 1, targets


class Fitting:
    """One training of a network on a log; goes on where its checkpoint left off.

    Args:
        network: Trained in place; holds the averaged weights after `run`.
        log: Events.
        recipe: How.
        seed: Of all chance.
        checkpoint: The file to save to, and to go on from.
    """

    def __init__(self, network: Network, log: Log, recipe: Recipe, *, seed: int, checkpoint: Path) -> None:
        self.network = network
        self._recipe = recipe
        self._seed = seed
        self._checkpoint = checkpoint
        self._device = network.embedding.weight.device
        # Products in bfloat16 take a third of the time where the processor has them; weights stay float32.
        self._half = _has_bfloat16(self._device)
        self._sequences = Sequences(log, network.shape.length)
        # Items that nobody had teach nothing as negatives, and would be pushed away from everybody.
        self._known = np.unique(log.item).astype(np.int64)
        self._weights: list[Tensor] = list(network.parameters())
        self._average = [weight.detach().clone() for weight in self._weights]
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.epoch = 0
        self._step = 0
        self._resume()

    def epochs(self, share_done: Callable[[], float]) -> Iterator[int]:
        """Trains an epoch at a time and gives the number of those that are done.

        Args:
            share_done: Share of the time that is spent, 0 to 1; the learning rate falls with it or with the epochs,
                whichever is further.
        """
        while self.epoch < self._recipe.epochs and share_done() < 1:
            self.network.train()
            random = np.random.default_rng((self._seed, self.epoch))
            torch.manual_seed(int(random.integers(2**31)))
            batches = self._sequences.batches(self._recipe.tokens, random)
            for place, batch in enumerate(batches):
                spent = share_done()
                if spent >= 1:
                    break
                self._advance(batch, max((self.epoch + place / len(batches)) / self._recipe.epochs, spent), random)
            self.epoch += 1
            yield self.epoch

    def averaged(self) -> Network:
        """The network with its averaged weights; `restore` goes back to those that are trained."""
        self._swap()
        self.network.eval()
        return self.network

    def restore(self) -> None:
        """Ends what `averaged` began."""
        self._swap()

    def save(self) -> None:
        """Keeps all that is needed to go on."""
        state = {
            "weights": [weight.detach() for weight in self._weights],
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "epoch": self.epoch,
            "step": self._step,
        }
        save_whole(state, self._checkpoint)

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self._device, weights_only=True)
        with torch.no_grad():
            for weight, value in zip(self._weights, state["weights"], strict=True):
                weight.copy_(value)
        self._average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self._step = state["epoch"], state["step"]

    def _swap(self) -> None:
        with torch.no_grad():
            for weight, average in zip(self._weights, self._average, strict=True):
                kept = weight.clone()
                weight.copy_(average)
                average.copy_(kept)

    def _advance(self, batch: npt.NDArray[np.int64], done: float, random: np.random.Generator) -> None:
        rate = self._recipe.learning_rate * min((self._step + 1) / _WARM_UP, 1.0) * (1 + math.cos(math.pi * done)) / 2
        for group in self._optimizer.param_groups:
            group["lr"] = max(rate, self._recipe.learning_rate * 0.02)
        inputs, targets = (torch.from_numpy(array).to(self._device) for array in self._sequences.arrays(batch))
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half):
            loss = self._loss(inputs, targets, random)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._weights, _CLIP)
        self._optimizer.step()
        self._step += 1
        kept = min(_MEMORY, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            torch._foreach_lerp_(self._average, self._weights, 1 - kept)

    def _loss(self, inputs: Tensor, targets: Tensor, random: np.random.Generator) -> Tensor:
        """Cross entropy of each place's target among itself and the drawn negatives."""
        states = self.network(inputs)
        used = targets >= 0
        states, wanted = states[used], targets[used]
        drawn = self._known
        if len(drawn) > self._recipe.negatives:
            drawn = np.sort(random.choice(drawn, self._recipe.negatives, replace=False, shuffle=False))
        negatives = torch.from_numpy(drawn).to(self._device)
        positive = (states * self._vectors(wanted)).float().sum(dim=-1)
        others = (states @ self._vectors(negatives).T).float()
        others = others.masked_fill(negatives[None, :] == wanted[:, None], float("-inf"))
        # Cross entropy with the target in front: log(exp(own) + sum exp(others)) - own.
        return torch.as_tensor((torch.logaddexp(positive, others.logsumexp(dim=-1)) - positive).mean())

    def _vectors(self, items: Tensor) -> Tensor:
        """Items' vectors; some by their text alone, so that an item without events is told by its text as well."""
        if self.network.text_in is None:
            return self.network.vectors(items)
        return self.network.vectors(items, (torch.rand(items.shape, device=self._device) > _TEXT_ONLY).float())


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())


def save_whole(value: object, path: Path) -> None:
    """Writes a file that is there whole or not at all, whenever the process dies."""
    temporary = path.with_name(path.name + ".new")
    torch.save(value, temporary)
    temporary.replace(path)
