"""Linear models kept beside a trial's checkpoints, so that a trial taken up again need not train them anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from packline_recommendation.training.factors import Factors
from packline_recommendation.training.neighbours import Neighbours

Linear = Neighbours | Factors


def saved_linear(folder: Path, name: str, make: Callable[[], Linear]) -> Linear:
    """What lies in `folder` under `name`, or what `make` makes, which then lies there."""
    path = folder / f"{name}.npz"
    if path.exists():
        with np.load(path) as arrays:
            if "indices" in arrays:
                return Neighbours(arrays["indices"], arrays["values"])
            return Factors(arrays["vectors"], arrays["mix"])
    made = make()
    temporary = path.with_suffix(".new.npz")
    if isinstance(made, Neighbours):
        np.savez(temporary, indices=made.indices, values=made.values)
    else:
        np.savez(temporary, vectors=made.vectors, mix=made.mix)
    temporary.replace(path)
    return made
