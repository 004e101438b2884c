"""Batches of like width: the same for the same seed, so that a training taken up again goes on as it would have."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from packline_ocr.domain import Image
from packline_ocr.settings import RecogniserSettings

_COLUMNS = 10_240  # pixels of width in a batch, about 32 lines


def batch_count(widths: Sequence[int]) -> int:
    """Batches of an epoch."""
    return max(math.ceil(sum(widths) / _COLUMNS), 1)


def epoch_batches(widths: Sequence[int], seed: int, epoch: int) -> list[list[int]]:
    """Indices of each batch's samples; every sample once, neighbours in width together, batches in random order."""
    rng = random.Random(f"{seed}:{epoch}")
    order = sorted(range(len(widths)), key=lambda index: widths[index] * rng.uniform(0.9, 1.1))
    ends = np.cumsum([widths[index] for index in order])
    count = batch_count(widths)
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], count + 1)[1:-1]).tolist()
    found = [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    rng.shuffle(found)
    return found


def to_tensor(crops: Sequence[Image], settings: RecogniserSettings) -> Tensor:
    """Normalises and pads crops as serving does; float32 N x 3 x height x W, channels last."""
    widest = max(settings.min_width, *(crop.shape[1] for crop in crops))
    width = -(-widest // settings.multiple) * settings.multiple
    images = np.zeros((len(crops), settings.height, width, 3), np.float32)
    mean, std = (np.asarray(values, np.float32) * 255 for values in (settings.mean, settings.std))
    for image, crop in zip(images, crops, strict=True):
        image[:, : crop.shape[1]] = (crop - mean) / std
    return torch.from_numpy(images).permute(0, 3, 1, 2)
