"""Processes that end while they are looked at."""

import subprocess

import psutil
from packline_core.fleet.processes import is_named


def test_a_process_that_has_ended_has_no_name() -> None:
    running = subprocess.Popen(["sleep", "60"])
    found = psutil.Process(running.pid)
    try:
        assert is_named(found, "sleep") and not is_named(found, "raylet")
    finally:
        running.kill()
        running.wait()
    assert not is_named(found, "sleep")
