"""Reading order: rows from top to bottom, each from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from packline_ocr.domain import Quad

_SAME_ROW = 0.5  # centres nearer than this share of the line height share a row


def reading_order(quads: Sequence[Quad]) -> list[int]:
    """Indices of quads in reading order.

    A line joins the row above it where its centre lies within half a line height of the row's latest centre, so that
    rows of a page that is slightly turned stay together.
    """
    if not quads:
        return []
    corners = np.stack(quads)
    centres = corners.mean(axis=1)
    heights = np.linalg.norm(corners[:, 3] - corners[:, 0], axis=1)
    rows: list[list[int]] = []
    for index in np.argsort(centres[:, 1], kind="stable").tolist():
        if rows:
            last = rows[-1][-1]
            near = _SAME_ROW * min(heights[index], heights[last])
            if centres[index, 1] - centres[last, 1] < near:
                rows[-1].append(index)
                continue
        rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda i: float(corners[i, 0, 0]))]
