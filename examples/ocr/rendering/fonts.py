"""The fonts of the demo documents, by key, and how a text becomes a mask of ink.

All are free fonts out of Debian packages (`PACKAGES`; licences in the README of this example). A character that a font
lacks is struck from others, as typists do (± is a plus over an underscore) or borrowed from a font that has it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

FONT_ROOT = Path("/usr/share/fonts")
PACKAGES = (
    "fonts-3270",
    "fonts-b612",
    "fonts-courier-prime",
    "fonts-dseg",
    "fonts-glasstty",
    "fonts-gnutypewriter",
    "fonts-inconsolata",
    "fonts-league-mono",
    "fonts-ocr-a",
    "fonts-ocr-b",
    "fonts-roboto-slab",
    "fonts-roboto-unhinted",
    "fonts-spleen",
)
FONTS = {
    "3270": "truetype/3270/3270-Regular.ttf",
    "3270-narrow": "truetype/3270/3270Condensed-Regular.ttf",
    "b612": "opentype/b612/B612Mono-Regular.otf",
    "condensed": "truetype/roboto/unhinted/RobotoCondensed-Regular.ttf",
    "condensed-bold": "truetype/roboto/unhinted/RobotoCondensed-Bold.ttf",
    "courier": "opentype/courier-prime/Courier Prime.otf",
    "dots": "opentype/spleen/spleen-6x12.otf",
    "inconsolata": "truetype/inconsolata/Inconsolata.otf",
    "league": "opentype/league-mono/LeagueMono-NarrowRegular.otf",
    "ocr-a": "truetype/ocr-a/OCRA.ttf",
    "ocr-b": "opentype/ocr-b/OCRB.otf",
    "segments": "truetype/dseg/DSEG14Classic-Regular.ttf",
    "slab": "opentype/roboto/slab/RobotoSlab-Bold.otf",
    "typewriter": "truetype/gnutypewriter/GNUTypewriter.ttf",
    "vt220": "truetype/glasstty/Glass_TTY_VT220.ttf",
}
_OVERSTRUCK = {"±": "+_", "≤": "<_", "×": "x", "·": ".", "–": "-", "&": "+"}
_BORROWED = "b612"
_BORROWED_NUMERO = "3270"
Mask = npt.NDArray[np.float32]


@lru_cache(maxsize=256)
def load(key: str, pixels: int) -> ImageFont.FreeTypeFont:
    """Opens a font at a size in pixels.

    Raises:
        FileNotFoundError: the package that holds it is not installed.
    """
    path = FONT_ROOT / FONTS[key]
    if not path.exists():
        raise FileNotFoundError(f"{path}: install the Debian packages {' '.join(PACKAGES)}")
    return ImageFont.truetype(str(path), pixels)


@lru_cache(maxsize=64)
def _blank(key: str) -> bytes:
    return bytes(load(key, 40).getmask("\uffff"))


@lru_cache(maxsize=4096)
def has(key: str, character: str) -> bool:
    """Tells whether the font draws this character itself."""
    return character == " " or bytes(load(key, 40).getmask(character)) not in (_blank(key), b"")


@lru_cache(maxsize=8192)
def glyph(key: str, pixels: int, character: str) -> tuple[Mask, int]:
    """Draws one character on a strip `2 * pixels` high whose baseline lies at `1.4 * pixels`.

    Returns:
        The mask, float32 (2 * pixels, width) in 0..1 with `pixels // 2` columns of room at the left, and the advance in
        pixels.
    """
    font = load(key, pixels)
    strikes = [(character, font)]
    if not has(key, character):
        substitute = _OVERSTRUCK.get(character, "")
        if substitute and all(has(key, c) for c in substitute):
            strikes = [(c, font) for c in substitute]
        else:
            strikes = [(character, load(_BORROWED_NUMERO if character == "№" else _BORROWED, round(pixels * 0.9)))]
    advance = round(max(f.getlength(c) for c, f in strikes))
    image = Image.new("L", (advance + pixels, 2 * pixels))
    draw = ImageDraw.Draw(image)
    for c, f in strikes:
        draw.text((pixels // 2, round(1.4 * pixels)), c, fill=255, font=f, anchor="ls")
    return np.asarray(np.asarray(image) / 255, np.float32), advance
