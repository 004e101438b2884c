"""A bundle is loaded and run on its reference inputs in a process of its own, before any replica opens it.

Run as `python -m packline_core.serving.preflight` with a request as JSON on standard input. What kills that process
kills nothing else, and the parent says what happened.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packline_core.bundle import Bundle, open_bundle
from packline_core.errors import BundleRejected, PacklineError, StorageFull
from packline_core.runtime import Runtime
from packline_core.task import get_task

# Other hardware and other builds of onnxruntime differ in the last digits, and so now and then in a character.
_LEAST_AGREEMENT = 0.95
_VERDICT = "packline-verdict "
IN_PREFLIGHT = "PACKLINE_PREFLIGHT"


@dataclass(frozen=True, slots=True)
class Request:
    """What the child is to try."""

    folder: str
    task: str
    runtime: dict[str, Any]


def preflight(bundle: Bundle, task: str, runtime: Runtime, *, verdicts: Path, timeout: float = 300.0) -> None:
    """Tries a verified bundle in a subprocess. A bundle that passed is not tried again by the same software.

    Args:
        bundle: In this node's cache.
        task: The task that would serve it.
        runtime: How it would run.
        verdicts: Folder where passes are noted.
        timeout: Seconds that it may take.

    Raises:
        BundleRejected: It was refused, answers otherwise than when it was sealed, took too long, or killed its process.
    """
    if bundle.manifest.task != task:
        raise BundleRejected(
            f"the bundle is for task {bundle.manifest.task}, the Pack is of task {task}", reason="WRONG_TASK"
        )
    passed = verdicts / f"{bundle.digest.removeprefix('sha256:')}-{_software(runtime)}"
    if passed.exists():
        return
    _try(Request(str(bundle.folder), task, asdict(runtime)), timeout)
    try:
        verdicts.mkdir(parents=True, exist_ok=True)
        passed.touch()
    except OSError as error:
        raise StorageFull(f"{verdicts} cannot be written: {error}; free some space") from error


def check(bundle: Bundle, task_name: str, runtime: Runtime) -> None:
    """Loads the bundle in this process and compares its answers with those that it was sealed with.

    Raises:
        BundleRejected: They differ, or the task refuses it.
    """
    task = get_task(task_name)
    predictor = task.load(bundle, runtime)
    try:
        for reference in bundle.manifest.references:
            expected = bundle.path(reference.answer).read_text(encoding="utf8")
            try:
                answer = predictor.answer(bundle.path(reference.payload).read_bytes())
            except PacklineError as error:
                raise BundleRejected(
                    f"it fails on its own reference input {reference.payload}: {error}", reason="REFERENCE_FAILED"
                ) from error
            agreement = task.agreement(expected, answer)
            if agreement < _LEAST_AGREEMENT:
                raise BundleRejected(
                    f"its answer to reference input {reference.payload} agrees with the sealed one by "
                    f"{agreement:.3f} only ({_LEAST_AGREEMENT} is the least)",
                    reason="REFERENCE_DIFFERS",
                )
    finally:
        predictor.close()


def _try(request: Request, timeout: float) -> None:
    environment = {**os.environ, IN_PREFLIGHT: "1"}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "packline_core.serving.preflight"],
            input=json.dumps(asdict(request)),
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleRejected(
            f"it was not loaded and tried within {timeout:.0f} s", reason="PREFLIGHT_TIMEOUT"
        ) from None
    line = next((line for line in done.stdout.splitlines()[::-1] if line.startswith(_VERDICT)), None)
    if done.returncode == 0 and line is not None:
        verdict = json.loads(line.removeprefix(_VERDICT))
        if verdict["reason"]:
            raise BundleRejected(verdict["message"], reason=verdict["reason"])
        return
    stage = done.stderr.rpartition("stage: ")[2].splitlines()[0] if "stage: " in done.stderr else "starting"
    raise BundleRejected(f"it {_ending(done.returncode)} its own process while {stage}", reason="PREFLIGHT_CRASHED")


def _ending(code: int) -> str:
    if code < 0:
        return f"killed (by {signal.Signals(-code).name})"
    return f"ended (with exit code {code})"


def _software(runtime: Runtime) -> str:
    try:
        engine = version("onnxruntime")
    except PackageNotFoundError:
        engine = "gpu-" + version("onnxruntime-gpu")
    return "-".join([engine, *sorted(runtime.providers)])


def main() -> None:
    """The child."""
    os.nice(10)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    request = Request(**json.load(sys.stdin))
    runtime = Runtime(**{**request.runtime, "providers": tuple(request.runtime["providers"])})
    verdict = {"reason": "", "message": ""}
    sys.stderr.write("stage: it was loaded and tried\n")
    sys.stderr.flush()
    try:
        check(open_bundle(Path(request.folder)), request.task, runtime)
    except PacklineError as error:
        verdict = {"reason": error.reason, "message": error.message}
    except Exception as error:  # whatever the bundle makes a library raise is a reason to refuse it
        verdict = {"reason": "PREFLIGHT_FAILED", "message": f"it cannot be used: {type(error).__name__}: {error}"}
    sys.stdout.write(_VERDICT + json.dumps(verdict) + "\n")


if __name__ == "__main__":
    main()
