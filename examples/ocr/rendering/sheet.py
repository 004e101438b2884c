"""A page before it is printed: texts with places and styles, rules, fills and stamps, in final pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Process = Literal["dot_matrix", "thermal", "typewriter", "laser", "inkjet", "form"]
RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Style:
    """How a text is printed.

    Attributes:
        font: key of `fonts.FONTS`.
        size: letter height of the font, pixels of the final page.
        process: the printer, which decides the defects of the ink.
        color: of the ink at full strength.
    """

    font: str
    size: float
    process: Process
    color: RGB = (35, 35, 40)


@dataclass(frozen=True)
class Item:
    """One text as it is labelled: the left end and the top of its line, in pixels of the final page."""

    x: float
    y: float
    text: str
    style: Style


@dataclass(frozen=True)
class Rule:
    """A straight pre-printed line or, with `filled`, a tinted area, from one corner to the other."""

    x0: float
    y0: float
    x1: float
    y1: float
    width: float = 1.0
    color: RGB = (120, 120, 120)
    filled: bool = False


@dataclass(frozen=True)
class Stamp:
    """A rubber stamp: text in a frame (or an empty ring), its centre, turned by `degrees`."""

    x: float
    y: float
    text: str
    size: float
    degrees: float
    color: RGB


@dataclass
class Sheet:
    """A page under construction, `width` by `height` pixels; layouts add to it, printers only read it."""

    kind: str
    width: int
    height: int
    paper: RGB = (248, 247, 242)
    items: list[Item] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    holes: bool = False

    def text(self, x: float, y: float, text: str, style: Style) -> None:
        """Adds one labelled text."""
        self.items.append(Item(x, y, text, style))

    def row(self, y: float, cells: list[tuple[float, str]], style: Style) -> None:
        """Adds the non-empty cells of a table's row."""
        for x, text in cells:
            if text:
                self.text(x, y, text, style)

    def line(self, y: float, left: float, right: float, width: float = 1.0) -> None:
        """Adds a horizontal rule."""
        self.rules.append(Rule(left, y, right, y, width))
