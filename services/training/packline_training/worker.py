"""Runs one function in a process of its own and returns its result: tasks bring heavy libraries that the service does
without, and a crash stays where it is.

`python -m packline_training.worker MODULE:FUNCTION ANSWER` reads the arguments as JSON from its input.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from packline_core import errors
from packline_core.errors import PacklineError, Unavailable

logger = logging.getLogger(__name__)


class Apart(Protocol):
    """How a function that is named `module:function` is called with plain values."""

    def __call__(self, function: str, /, **arguments: Any) -> dict[str, Any]:
        """Its answer, a dictionary of plain values."""


def run_apart(function: str, /, **arguments: Any) -> dict[str, Any]:
    """Calls `module:function` with plain values in a new process and returns its answer, a dictionary of plain values.

    Raises:
        PacklineError: What the function raised.
        Unavailable: The process died; the message holds the end of its log.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run(
            [sys.executable, "-m", "packline_training.worker", function, str(answer)],
            input=json.dumps(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not answer.exists():
            raise Unavailable(
                f"the process for {function.partition(':')[2]} ended with {done.returncode} and no answer: "
                f"{done.stdout.strip()[-800:] or 'it wrote nothing'}",
                reason="WORKER_LOST",
            )
        told: dict[str, Any] = json.loads(answer.read_text(encoding="utf8"))
    if done.stdout.strip():
        logger.info("%s: %s", function, done.stdout.strip()[-4000:])
    if (error := told.get("error")) is not None:
        raise _rebuilt(error)
    return dict(told["result"])


def main(function: str, answer: Path) -> None:
    """The new process's side."""
    module, _, name = function.partition(":")
    try:
        told = {"result": getattr(import_module(module), name)(**json.loads(sys.stdin.read()))}
    except PacklineError as error:
        told = {"error": {"kind": type(error).__name__, "message": error.message, "reason": error.reason}}
    answer.write_text(json.dumps(told), encoding="utf8")


def _rebuilt(error: dict[str, str]) -> PacklineError:
    kind = getattr(errors, error["kind"], PacklineError)
    rebuilt: PacklineError = kind(error["message"], reason=error["reason"])
    return rebuilt


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(sys.argv[1], Path(sys.argv[2]))
