"""Prints a sheet: turns its texts into ink with the defects of the printer that each was printed by.

Everything is drawn at `SCALE` times the final size, so that dots, streaks and edges meet the later warp as they would
meet a lens.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from examples.ocr.rendering import fonts
from examples.ocr.rendering.sheet import RGB, Item, Process, Sheet, Stamp

SCALE = 2
Layer = npt.NDArray[np.float32]
Box = tuple[float, float, float, float]
_DOT = np.array(
    [[0.45, 0.9, 0.45, 0.05], [0.9, 1, 0.9, 0.12], [0.45, 0.9, 0.45, 0.05], [0.05, 0.12, 0.05, 0]], np.float32
)


@dataclass(frozen=True)
class Wear:
    """The state of the printers on one page, 0 (new) to 1 (worn out)."""

    ribbon: float
    weak_pin: int
    dead_columns: tuple[int, ...]
    streak: float


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: int) -> Layer:
    """Smooth noise, float32 of `shape` in 0..1, with features about `cell` pixels wide."""
    coarse = rng.random((shape[0] // cell + 2, shape[1] // cell + 2)).astype(np.float32)
    fine: Layer = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    return fine


def _dots(key: str, character: str, weak_pin: int) -> tuple[Layer, int]:
    """One character struck by pins: each set pixel of the font at its native size becomes a dot of 4 by 4."""
    mask, advance = fonts.glyph(key, 12, character)
    pins = (mask > 0.5).astype(np.float32)
    if 0 <= weak_pin < len(pins):
        pins[weak_pin] *= 0.2
    return np.kron(pins, _DOT), advance * 4


def _strike(layer: Layer, mask: Layer, x: int, y: int) -> None:
    """Lays a mask onto the layer, its upper left corner at (x, y), cut at the edges."""
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], layer.shape[1]), min(y + mask.shape[0], layer.shape[0])
    if x1 > x0 and y1 > y0:
        np.maximum(layer[y0:y1, x0:x1], mask[y0 - y : y1 - y, x0 - x : x1 - x], out=layer[y0:y1, x0:x1])


def draw_text(layer: Layer, item: Item, wear: Wear, rng: np.random.Generator) -> Box:
    """Draws one text onto a layer and returns the box of its ink, in pixels of the final page."""
    style, pixels = item.style, round(item.style.size * SCALE)
    x, top = item.x * SCALE, round(item.y * SCALE)
    struck = np.zeros((2 * pixels + 16, layer.shape[1]), np.float32)
    for character in item.text:
        if style.process == "dot_matrix":
            mask, advance = _dots(style.font, character, wear.weak_pin)
            _strike(struck, mask, round(x) - 24, round(0.2 * pixels) - 16)
        else:
            mask, advance = fonts.glyph(style.font, pixels, character)
            drop = 0
            if style.process == "typewriter":
                mask = mask * np.float32(rng.uniform(0.62 - 0.3 * wear.ribbon, 1.0))
                drop = round(float(rng.normal(0, 0.9)))
            _strike(struck, mask, round(x) - pixels // 2, drop)
        x += advance
    _strike(layer, struck, 0, top - round(0.2 * pixels))
    ys, xs = np.nonzero(struck > 0.15)
    y_offset = top - round(0.2 * pixels)
    return (
        float(xs.min()) / SCALE - 2,
        float(ys.min() + y_offset) / SCALE - 2,
        float(xs.max()) / SCALE + 2,
        float(ys.max() + y_offset) / SCALE + 2,
    )


def _worn(process: Process, layer: Layer, wear: Wear, rng: np.random.Generator) -> Layer:
    """The ink that really reaches the paper, given the printer's wear."""
    shape = (layer.shape[0], layer.shape[1])
    ink: npt.NDArray[np.float32 | np.float64] = layer
    if process == "dot_matrix":
        ribbon = 1 - wear.ribbon * (0.3 + 0.46 * _noise(rng, shape, 260))
        ink = layer * ribbon * (0.75 + 0.25 * rng.random(shape, np.float32))
    elif process == "thermal":
        fade = 1 - wear.ribbon * (0.2 + 0.66 * _noise(rng, shape, 420))
        for column in wear.dead_columns:
            fade[:, column : column + 2] *= 0.12
        ink = cv2.GaussianBlur(layer, (0, 0), 0.8) * fade
    elif process == "typewriter":
        rough = (_noise(rng, shape, 3) * 1.3 + 0.25 * _noise(rng, shape, 80)).clip(0, 1)
        ink = cv2.GaussianBlur(layer, (0, 0), 1.1) * (1 - (0.25 + 0.45 * wear.ribbon) * (1 - rough))
    elif process == "inkjet":
        rows = 1 - wear.streak * (rng.random((shape[0] // 3 + 1, 1), np.float32) < 0.3).repeat(3, 0)[: shape[0]]
        ink = cv2.GaussianBlur(layer, (0, 0), 0.9) * rows * (0.8 + 0.2 * _noise(rng, shape, 5))
    elif process == "laser":
        ink = layer * (1 - 0.6 * wear.ribbon * _noise(rng, shape, 300)) * (1 - 0.5 * (rng.random(shape) < 0.04))
    return np.asarray(ink, np.float32)


def draw_stamp(layer: Layer, stamp: Stamp, rng: np.random.Generator) -> Box | None:
    """Stamps onto a layer; returns the box of the text, or None for a stamp without words."""
    side = round(stamp.size * SCALE * 12)
    square = np.zeros((side, side), np.float32)
    middle, width = side // 2, round(stamp.size * SCALE * 0.14)
    box: Box | None = None
    if stamp.text:
        pixels = round(stamp.size * SCALE)
        glyphs = [fonts.glyph("slab", pixels, c) for c in stamp.text]
        x = float(middle - sum(advance for _, advance in glyphs) // 2)
        left = x
        for mask, advance in glyphs:
            _strike(square, mask, round(x) - pixels // 2, middle - round(1.05 * pixels))
            x += advance
        pad = pixels // 2
        cv2.rectangle(square, (round(left) - pad, middle - pixels), (round(x) + pad, middle + pixels), 1.0, width)
        half = (x - left) / 2 / SCALE
        rise = half * abs(np.sin(np.radians(stamp.degrees)))
        box = (stamp.x - half, stamp.y - stamp.size * 0.45 - rise, stamp.x + half, stamp.y + stamp.size * 0.45 + rise)
    else:
        cv2.circle(square, (middle, middle), round(stamp.size * SCALE * 2.2), 1.0, width)
        cv2.circle(square, (middle, middle), round(stamp.size * SCALE * 1.7), 1.0, max(width // 2, 1))
    turn = cv2.getRotationMatrix2D((middle, middle), stamp.degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(square, turn, (side, side)), np.float32)
    turned *= (0.35 + 0.9 * _noise(rng, (side, side), 4) * _noise(rng, (side, side), 90)).clip(0, 0.85)
    _strike(layer, turned, round(stamp.x * SCALE) - middle, round(stamp.y * SCALE) - middle)
    return box


def print_sheet(
    sheet: Sheet, page: npt.NDArray[np.float32], wear: Wear, rng: np.random.Generator
) -> list[tuple[str, Box]]:
    """Prints everything of a sheet onto a page, float32 (height, width, 3) in 0..255 at `SCALE`, in place.

    Returns:
        Each text with the box of its ink (x0, y0, x1, y1), in pixels of the final page.
    """
    shape = (page.shape[0], page.shape[1])
    layers: dict[tuple[Process, RGB], Layer] = {}
    labels: list[tuple[str, Box]] = []

    for rule in sheet.rules:
        a, b = (round(rule.x0 * SCALE), round(rule.y0 * SCALE)), (round(rule.x1 * SCALE), round(rule.y1 * SCALE))
        if rule.filled:
            cv2.rectangle(page, a, b, rule.color, -1)
        else:
            cv2.line(page, a, b, rule.color, max(round(rule.width * SCALE), 1), cv2.LINE_AA)
    for item in sheet.items:
        layer = layers.setdefault((item.style.process, item.style.color), np.zeros(shape, np.float32))
        labels.append((item.text, draw_text(layer, item, wear, rng)))
    inks = [(color, _worn(process, layer, wear, rng)) for (process, color), layer in layers.items()]
    for stamp in sheet.stamps:
        layer = np.zeros(shape, np.float32)
        box = draw_stamp(layer, stamp, rng)
        if box:
            labels.append((stamp.text, box))
        inks.append((stamp.color, layer))
    for color, ink in inks:
        page *= 1 - ink[..., None] * (1 - np.array(color, np.float32) / 255)
    return labels
