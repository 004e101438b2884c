"""The gradient of one batch of lines: CTC loss (Graves et al. 2006) in bfloat16, the batch shared out over threads.

Threads inside an operator wait for each other at its every end; on a machine that serves at the same time that is many
times slower than threads that each take their share of a batch from end to end.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from packline_ocr.settings import RecogniserSettings
from packline_ocr.training.augment import augmented
from packline_ocr.training.batching import to_tensor
from packline_ocr.training.lines import Sample
from packline_ocr.training.recogniser import OnnxRecogniser


class Gradients:
    """Computes gradients of a recogniser's weights.

    Args:
        recogniser: In training, on its device.
        settings: Of the recogniser.
        characters: Its dictionary.
        augmentation: Strength; see `augmented`.
        case: Share of the loss that heeds case; the rest takes either case of a label's letters for right.
        threads: CPU threads; a batch is not shared out on a GPU.
    """

    def __init__(
        self,
        recogniser: OnnxRecogniser,
        settings: RecogniserSettings,
        characters: Sequence[str],
        *,
        augmentation: float,
        case: float,
        threads: int,
    ) -> None:
        self._recogniser = recogniser
        self._weights = list(recogniser.parameters())
        self._device = self._weights[0].device
        self._settings = settings
        self._classes = {char: index for index, char in enumerate(characters, start=1)}
        self._augmentation = augmentation
        self._case = case
        self._pairs = _case_pairs(self._classes).to(self._device)
        self._shares = threads if self._device.type == "cpu" else 1
        torch.set_num_threads(1)
        self._pool = ThreadPoolExecutor(self._shares, initializer=torch.set_num_threads, initargs=(1,))

    def of(self, batch: Sequence[Sample], seed: str) -> tuple[float, list[Tensor]]:
        """Mean loss of a character, and its gradient for every weight; the same for the same seed and threads."""
        drawn = [(sample, f"{seed}:{place}") for place, sample in enumerate(batch)]
        shares = [share for share in (drawn[start :: self._shares] for start in range(self._shares)) if share]
        characters = sum(len(sample.text) for sample in batch)
        results = list(self._pool.map(self._share, shares))
        gradients = [torch.stack(parts).sum(0) / characters for parts in zip(*(g for _, g in results), strict=True)]
        return sum(loss for loss, _ in results) / characters, gradients

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _share(self, drawn: Sequence[tuple[Sample, str]]) -> tuple[float, tuple[Tensor, ...]]:
        crops = [augmented(sample.crop, random.Random(seed), self._augmentation) for sample, seed in drawn]
        labels = [[self._classes[char] for char in sample.text] for sample, _ in drawn]
        images = to_tensor(crops, self._settings).to(self._device)
        # Half the time of float32 on processors with bfloat16, and no loss scale is needed; the loss itself is exact.
        with torch.autocast(self._device.type, torch.bfloat16):
            logits = self._recogniser(images)
        probabilities = logits.float().log_softmax(-1).transpose(0, 1)
        loss = torch.zeros((), device=self._device)
        if self._case > 0:
            loss = loss + self._case * _ctc(probabilities, labels)
        if self._case < 1:
            loss = loss + (1 - self._case) * _ctc(_either_case(probabilities, self._pairs), labels)
        return float(loss.detach()), torch.autograd.grad(loss, self._weights)


def _ctc(probabilities: Tensor, labels: Sequence[Sequence[int]]) -> Tensor:
    """Sum over lines of the loss; `probabilities` are logarithms, T x N x classes."""
    return functional.ctc_loss(
        probabilities,
        torch.tensor(list(chain.from_iterable(labels)), device=probabilities.device),
        # Padding is read as well when serving, so it has to learn to be blank.
        torch.full((len(labels),), probabilities.shape[0]),
        torch.tensor([len(label) for label in labels]),
        reduction="sum",
        # A label with more characters than the crop has steps cannot be aligned, and teaches nothing.
        zero_infinity=True,
    )


def _case_pairs(classes: Mapping[str, int]) -> Tensor:
    """Classes of letters that the dictionary has in both cases: 2 x letters, capitals first."""
    capitals = {char: char.upper() for char in classes if char != char.upper() and char.upper().lower() == char}
    pairs = [(classes[capital], classes[char]) for char, capital in capitals.items() if capital in classes]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T


def _either_case(probabilities: Tensor, pairs: Tensor) -> Tensor:
    """Gives both cases of a letter the probability of the two together."""
    capital, small = pairs
    together = torch.logaddexp(probabilities[..., capital], probabilities[..., small])
    return probabilities.index_copy(-1, capital, together).index_copy(-1, small, together)
