from __future__ import annotations

import numpy as np
from packline_ocr.domain import Quad
from packline_ocr.layout import reading_order


def quad(x: float, y: float, width: float = 100, height: float = 20, slope: float = 0.0) -> Quad:
    corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
    return np.array([[px, py + slope * px] for px, py in corners], np.float32)


def test_nothing() -> None:
    assert reading_order([]) == []


def test_rows_from_the_top_each_from_the_left() -> None:
    quads = [quad(300, 100), quad(0, 50), quad(0, 103), quad(300, 47), quad(0, 0, 400)]
    assert reading_order(quads) == [4, 1, 3, 2, 0]


def test_rows_of_a_turned_page_stay_together() -> None:
    rows = [[quad(x, y, slope=0.05) for x in (0, 150, 300)] for y in (0, 40, 80)]
    quads = [rows[r][c] for c in (2, 0, 1) for r in (1, 0, 2)]
    expected = [next(i for i, k in enumerate(quads) if k is q) for row in rows for q in row]
    assert reading_order(quads) == expected


def test_tall_heading_beside_small_rows_does_not_join_them() -> None:
    heading = quad(0, 0, 200, 100)
    first, second = quad(250, 0, 100, 20), quad(250, 80, 100, 20)
    assert reading_order([second, heading, first]) == [2, 1, 0]
