"""What happens to a page before it is read: paper, folds, coffee, the scanner or the camera, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from examples.ocr.rendering.ink import SCALE
from examples.ocr.rendering.sheet import Sheet

Image = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Capture:
    """How a page was captured.

    Attributes:
        photographed: by a camera on a bench (perspective, shadow) or else on a flatbed scanner (skew).
        degrees: skew.
        blur: standard deviation, pixels of the final page.
        noise: standard deviation, grey levels.
        quality: of the JPEG, 1..95.
    """

    photographed: bool
    degrees: float
    blur: float
    noise: float
    quality: int


def blank(sheet: Sheet, rng: np.random.Generator) -> Image:
    """Returns an empty page with the grain of its paper, float32 (height, width, 3) in 0..255 at `SCALE`."""
    height, width = sheet.height * SCALE, sheet.width * SCALE
    grain = cv2.GaussianBlur(rng.normal(0, 9, (height, width)).astype(np.float32), (0, 0), 2.2)
    cloud = cv2.resize(rng.normal(0, 2.5, (9, 7)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    page: Image = np.array(sheet.paper, np.float32) + (grain + cloud)[..., None]
    return page


def damage(page: Image, sheet: Sheet, rng: np.random.Generator) -> None:
    """Punches, folds and stains the printed page in place."""
    height, width = page.shape[:2]
    if sheet.holes:
        for y in range(20 * SCALE, height, 38 * SCALE):
            for x in (14 * SCALE, width - 14 * SCALE):
                cv2.circle(page, (x, y), 6 * SCALE, (96, 92, 88), -1, cv2.LINE_AA)
    ramp = np.arange(height, dtype=np.float32)
    for _ in range(int(rng.integers(0, 3))):
        crease = rng.uniform(0.25, 0.75) * height + np.cumsum(rng.normal(0, 0.15, width)).astype(np.float32)
        distance = ramp[:, None] - crease[None, :]
        page += (13 * np.exp(-((distance - 3) ** 2) / 10) - 30 * np.exp(-((distance + 2) ** 2) / 8))[..., None].astype(
            np.float32
        )
        page -= (7 * np.exp(-np.abs(distance) / 90) * (distance > 0))[..., None].astype(np.float32)
    if rng.random() < 0.3:
        ring = np.zeros((height, width), np.float32)
        center = (int(rng.uniform(0.1, 0.9) * width), int(rng.uniform(0.1, 0.9) * height))
        radius = int(rng.uniform(55, 85) * SCALE)
        cv2.ellipse(ring, center, (radius, int(radius * 0.96)), 0, 0, 360, 1.0, int(rng.uniform(4, 9) * SCALE))
        inside = np.zeros_like(ring)
        cv2.circle(inside, center, radius, 0.25, -1)
        stain = np.maximum(cv2.GaussianBlur(ring, (0, 0), 4), inside) * rng.uniform(0.25, 0.5)
        page *= 1 - stain[..., None].astype(np.float32) * np.array((0.28, 0.42, 0.62), np.float32)


def _corners(sheet: Sheet, capture: Capture, margin: int, rng: np.random.Generator) -> Points:
    """Where the four corners of the sheet lie in the picture, float64 (4, 2)."""
    flat = np.array([(0, 0), (sheet.width, 0), (sheet.width, sheet.height), (0, sheet.height)], np.float64)
    center, angle = flat.mean(0), np.radians(capture.degrees)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    placed: Points = (flat - center) @ turn.T + center + margin
    if capture.photographed:
        placed = placed + rng.uniform(-0.016, 0.016, (4, 2)) * sheet.width
    return placed


def take(page: Image, sheet: Sheet, capture: Capture, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Points]:
    """Scans or photographs a page.

    Args:
        page: float32 (height, width, 3) RGB in 0..255 at `SCALE`.
        sheet: what was printed on it.
        capture: how.
        rng: of the noise.

    Returns:
        The picture, uint8 (height, width, 3) RGB, and the homography, float64 (3, 3), from the sheet's pixels to its.
    """
    margin = 34 if capture.photographed else 12
    size = (sheet.width + 2 * margin, sheet.height + 2 * margin)
    flat = np.array([(0, 0), (sheet.width, 0), (sheet.width, sheet.height), (0, sheet.height)], np.float32)
    homography = cv2.getPerspectiveTransform(flat, _corners(sheet, capture, margin, rng).astype(np.float32))
    shrink = np.diag([1 / SCALE, 1 / SCALE, 1.0])

    soft = cv2.GaussianBlur(page, (0, 0), SCALE * capture.blur)
    table = np.array((92, 84, 74) if capture.photographed else (233, 233, 231), np.float32)
    wood = cv2.GaussianBlur(rng.normal(0, 30, (size[1], size[0])).astype(np.float32), (0, 0), sigmaX=40, sigmaY=1)
    picture = table + (wood * capture.photographed)[..., None]
    warped = cv2.warpPerspective(soft, homography @ shrink, size, flags=cv2.INTER_AREA)
    cover = cv2.warpPerspective(np.ones(page.shape[:2], np.float32), homography @ shrink, size)
    picture = picture * (1 - cover[..., None]) + warped * cover[..., None]
    if capture.photographed:
        y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.42)
        across = ((x / size[0] - 0.5) * np.cos(angle) + (y / size[1] - 0.5) * np.sin(angle)).astype(np.float32)
        picture *= (1 - reach * (across + 0.5).clip(0, 1))[..., None]
        edge = rng.uniform(-0.2, 0.45)
        picture *= (1 - rng.uniform(0.1, 0.3) / (1 + np.exp(-(across - edge) * 60)))[..., None]
        picture *= np.array((1.0, 0.985, 0.95), np.float32)
    picture = picture + rng.normal(0, capture.noise, picture.shape[:2])[..., None]
    return picture.clip(0, 255).astype(np.uint8), np.asarray(homography, np.float64)
