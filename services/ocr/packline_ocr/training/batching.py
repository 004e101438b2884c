"""Batches of like width: the same for the same seed, so that a training taken up again goes on as it would have."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from packline_ocr.domain import Image
from packline_ocr.normalisation import Normaliser
from packline_ocr.settings import RecogniserSettings

_COLUMNS = 5_120  # pixels of width in a batch, about 16 lines


def batch_count(widths: Sequence[int]) -> int:
    """Batches of an epoch."""
    return min(math.ceil(sum(widths) / _COLUMNS), len(widths))


def epoch_batches(widths: Sequence[int], seed: int, epoch: int) -> list[list[int]]:
    """Indices of each batch's samples; every sample once, neighbours in width together, batches in random order."""
    rng = random.Random(f"{seed}:{epoch}")
    order = sorted(range(len(widths)), key=lambda index: widths[index] * rng.uniform(0.9, 1.1))
    ends = np.cumsum([widths[index] for index in order])
    count = batch_count(widths)
    places = np.arange(count - 1)
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], count + 1)[1:-1])
    # A line wider than a batch's share leaves no batch empty.
    cuts = (np.maximum.accumulate(cuts - places).clip(1, len(order) - count + 1) + places).tolist()
    found = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    rng.shuffle(found)
    return found


def to_tensor(crops: Sequence[Image], settings: RecogniserSettings) -> Tensor:
    """Normalises and pads crops as serving does; float32 N x 3 x height x W, channels last."""
    widest = max(settings.min_width, *(crop.shape[1] for crop in crops))
    width = -(-widest // settings.multiple) * settings.multiple
    images = np.zeros((len(crops), settings.height, width, 3), np.float32)
    normaliser = Normaliser(settings.mean, settings.std)
    for image, crop in zip(images, crops, strict=True):
        normaliser.fill(crop, image[:, : crop.shape[1]].transpose(2, 0, 1))
    return torch.from_numpy(images).permute(0, 3, 1, 2)
