"""The echo predictor: values of one call or of many through one ONNX session."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np
from packline_core.bundle import Bundle
from packline_core.errors import BundleRejected, InvalidInput, PacklineError
from packline_core.runtime import Runtime, create_session
from packline_core.serving.preflight import IN_PREFLIGHT

from packline_echo.config import MODEL, SETTINGS, Fault, read_settings
from packline_echo.domain import Values, answer_json, parse_values, to_values


class EchoPredictor:
    """Runs the bundle's graph. Thread-safe, as onnxruntime's sessions are.

    Args:
        bundle: A bundle of task `echo`.
        runtime: Where it runs.

    Raises:
        BundleRejected: Its graph is not one of this task.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._settings = read_settings(bundle.path(SETTINGS))
        _misbehave(self._settings.fault, "load")
        self._session = create_session(bundle.path(MODEL), runtime)
        names = [node.name for node in self._session.get_inputs()], [node.name for node in self._session.get_outputs()]
        if names != (["values"], ["answers"]):
            raise BundleRejected(
                f"{MODEL} has inputs {names[0]} and outputs {names[1]}; task echo serves values -> answers",
                reason="SIGNATURE_MISMATCH",
            )

    def prepare(self, payload: Sequence[float]) -> Sequence[Values]:
        """One item: the request's values, float32 [n]."""
        values = to_values(payload)
        if self._settings.width and len(values) != self._settings.width:
            raise InvalidInput(
                f"values: this model takes {self._settings.width} numbers, got {len(values)}", field="values"
            )
        return (values,)

    def predict(self, items: Sequence[Values]) -> Sequence[Values | PacklineError]:
        """Runs all items at once."""
        _misbehave(self._settings.fault, "call")
        return self._run(items)

    def answer(self, payload: bytes) -> str:
        """The whole answer to one payload."""
        return answer_json(self._run(self.prepare(parse_values(payload).tolist()))[0])

    def close(self) -> None:
        """Gives the session back."""
        del self._session

    def _run(self, items: Sequence[Values]) -> Sequence[Values]:
        if self._settings.width:
            (answers,) = self._session.run(None, {"values": items[0][None] if len(items) == 1 else np.stack(items)})
            return list(answers)
        if len(items) == 1:
            (answers,) = self._session.run(None, {"values": items[0]})
            return (answers,)
        (answers,) = self._session.run(None, {"values": np.concatenate(items)})
        ends = np.cumsum([len(item) for item in items[:-1]])
        return np.split(answers, ends)


def _misbehave(fault: Fault, moment: str) -> None:
    if not fault or f"_at_{moment}" not in fault:
        return
    if fault == "hang_at_load":
        time.sleep(3600)
    if fault == "raise_at_call":
        raise RuntimeError("this bundle fails at every call")
    if fault == "kill_at_load_in_replica" and IN_PREFLIGHT in os.environ:
        return
    os.kill(os.getpid(), signal.SIGKILL)
