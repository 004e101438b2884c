"""Whether an opened model takes and gives what the engine expects of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from packline_core.errors import BundleRejected


def check_signature(session: Any, file: str, shape: Sequence[int | None], *, output_rank: int) -> str:
    """Checks that a session has one float32 input of `shape` and one float32 output.

    Args:
        session: An onnxruntime session.
        file: Of the model, for messages.
        shape: Expected of the input; None where any size will do. A size that the model leaves open fits.
        output_rank: Dimensions of the output.

    Returns:
        The input's name.

    Raises:
        BundleRejected: The model is of another signature.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    found = [(value.type, list(value.shape)) for value in (*inputs, *outputs)]
    if len(inputs) == len(outputs) == 1 and all(kind == "tensor(float)" for kind, _ in found):
        given = found[0][1]
        fits = len(given) == len(shape) and all(
            wanted is None or not isinstance(size, int) or size == wanted
            for size, wanted in zip(given, shape, strict=True)
        )
        if fits and len(found[1][1]) == output_rank:
            return str(inputs[0].name)
    raise BundleRejected(
        f"{file} has inputs and outputs {found}; expected is one float input of {list(shape)} and one float output of"
        f" {output_rank} dimensions",
        reason="SIGNATURE_MISMATCH",
        file=file,
    )
