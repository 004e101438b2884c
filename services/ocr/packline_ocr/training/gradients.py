"""The gradient of one batch of lines: CTC loss (Graves et al. 2006) in bfloat16, the batch shared out over threads.

Threads inside an operator wait for each other at its every end; on a machine that serves at the same time that is many
times slower than threads that each take their share of a batch from end to end.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

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
        scores = logits.detach().float()
        loss, slope = 0.0, torch.zeros_like(scores)
        for share, pairs in ((self._case, self._pairs[:, :0]), (1 - self._case, self._pairs)):
            if share > 0:
                part, gradient = line_loss(scores, labels, pairs)
                loss += share * part
                slope.add_(gradient, alpha=share)
        return loss, torch.autograd.grad(logits, self._weights, slope.to(logits.dtype))


def line_loss(logits: Tensor, labels: Sequence[Sequence[int]], pairs: Tensor) -> tuple[float, Tensor]:
    """CTC loss of lines, summed, and its gradient.

    Torch's own gradient holds only for probabilities that sum to one. So classes that count as the same are made one
    class and all that no label holds another, which also leaves some dozens of classes out of thousands; a class takes
    its share of the gradient of what it was made part of.

    Args:
        logits: float32 N x T x classes; class 0 is blank.
        labels: Classes of each line.
        pairs: 2 x P, classes to be taken for the same.
    """
    same = dict(zip(pairs[1].tolist(), pairs[0].tolist(), strict=True))
    twin = {first: second for second, first in same.items()}
    merged = [[same.get(label, label) for label in line] for line in labels]
    used = [0, *sorted({label for line in merged for label in line})]
    place = {label: index for index, label in enumerate(used)}
    device = logits.device
    # Every class whose logit counts, and the place of the class that it is part of.
    members = [*used, *(twin[label] for label in used if label in twin)]
    columns = torch.tensor(members, device=device)
    places = torch.tensor([place[same.get(label, label)] for label in members], device=device)
    every = logits.log_softmax(-1)
    own = every[..., columns]
    joined = own[..., : len(used)]
    if len(members) > len(used):
        at = places[len(used) :]
        joined = joined.index_copy(-1, at, torch.logaddexp(joined[..., at], own[..., len(used) :]))
    others = (1 - joined.exp().sum(-1, keepdim=True)).clamp_min(1e-30).log()
    probabilities = torch.cat([joined, others], -1).transpose(0, 1).requires_grad_()
    loss = functional.ctc_loss(
        probabilities,
        torch.tensor([place[label] for line in merged for label in line], device=device),
        # Padding is read as well when serving, so it has to learn to be blank.
        torch.full((len(labels),), probabilities.shape[0]),
        torch.tensor([len(line) for line in labels]),
        reduction="sum",
        # A label with more characters than the crop has steps cannot be aligned, and teaches nothing.
        zero_infinity=True,
    )
    (slope,) = torch.autograd.grad(loss, probabilities)
    slope = slope.transpose(0, 1)
    gradient = every.exp_()
    gradient.mul_(slope[..., -1:] / others.exp())
    gradient[..., columns] = slope[..., places] * (own - joined[..., places]).exp()
    return float(loss.detach()), gradient


def _case_pairs(classes: Mapping[str, int]) -> Tensor:
    """Classes of letters that the dictionary has in both cases: 2 x letters, capitals first."""
    capitals = {char: char.upper() for char in classes if char != char.upper() and char.upper().lower() == char}
    pairs = [(classes[capital], classes[char]) for char, capital in capitals.items() if capital in classes]
    return torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).T
