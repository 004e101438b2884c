"""Light augmentation of a line's crop: what scanners, cameras and a detector's boxes do to the same line."""

from __future__ import annotations

import random

import cv2
import numpy as np

from packline_ocr.domain import Image


def augmented(crop: Image, rng: random.Random, strength: float) -> Image:
    """A crop as it might have been cut and photographed another time.

    Args:
        crop: uint8, height x width x 3.
        rng: Where chance comes from.
        strength: 0 leaves the crop as it is; 1 is the measured best for receipts.

    Returns:
        A crop of the same height; its width differs by some per cent.
    """
    if rng.random() < 0.5 * strength:
        crop = _shifted(crop, rng, strength)
    if rng.random() < 0.5 * strength:
        gain, offset = 1 + rng.uniform(-0.25, 0.25) * strength, rng.uniform(-25, 25) * strength
        table = np.clip(np.arange(256) * gain + offset, 0, 255).astype(np.uint8)
        crop = np.asarray(cv2.LUT(crop, table), np.uint8)
    if rng.random() < 0.2 * strength:
        height, width = crop.shape[:2]
        share = rng.uniform(0.5, 0.9)
        small = cv2.resize(crop, (max(round(width * share), 4), round(height * share)), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(small, (width, height)), np.uint8)
    if rng.random() < 0.2 * strength:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 8 * strength, crop.shape)
        crop = np.clip(crop + noise, 0, 255).astype(np.uint8)
    return crop


def _shifted(crop: Image, rng: random.Random, strength: float) -> Image:
    """Moves, stretches and slants a line a little, as boxes of another detector would."""
    height, width = crop.shape[:2]
    stretch, squeeze = 1 + rng.uniform(-0.08, 0.08) * strength, 1 + rng.uniform(-0.06, 0.06) * strength
    slant = rng.uniform(-0.05, 0.05) * strength
    right = rng.uniform(-0.06, 0.06) * height * strength - slant * height / 2
    down = rng.uniform(-0.05, 0.05) * height * strength + (1 - squeeze) * height / 2
    matrix = np.array([[stretch, slant, right], [0, squeeze, down]], np.float32)
    size = (max(round(width * stretch), 8), height)
    return np.asarray(cv2.warpAffine(crop, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
