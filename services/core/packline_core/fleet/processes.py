"""The processes of one fleet: found by the folder that their command lines name, counted and ended together.

`ray stop` ends every Ray on the machine; this ends one.
"""

from collections.abc import Iterable
from pathlib import Path

import psutil


def fleet_processes(folder: Path) -> list[psutil.Process]:
    """All processes that name `folder` in their command line, with their descendants."""
    found: set[psutil.Process] = set()
    marker = str(folder)
    for process in psutil.process_iter():
        try:
            # A folder is followed by a slash or stands alone, so that /a/ray never finds /a/ray2.
            if any(f"{part}/".find(f"{marker}/") >= 0 for part in process.cmdline()):
                found |= {process, *process.children(recursive=True)}
        except psutil.Error:
            continue
    me = psutil.Process()
    ours = {me, *me.parents()}
    return sorted(found - ours, key=lambda process: process.pid)


def home_processes(home: str) -> list[psutil.Process]:
    """All processes whose environment has this `PACKLINE_HOME`: the platform, its Ray, and commands at work on it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PACKLINE_HOME") == home:
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_named(process: psutil.Process, name: str) -> bool:
    """Whether it runs under that name; one that has ended since it was found does not."""
    try:
        return process.name() == name
    except psutil.NoSuchProcess:
        return False


def end_processes(processes: Iterable[psutil.Process], grace: float) -> int:
    """Asks them to end, and kills those that have not after `grace` seconds; returns how many there were."""
    alive = list(processes)
    for process in alive:
        _ignoring_gone(process.terminate)
    _, late = psutil.wait_procs(alive, timeout=grace)
    for process in late:
        _ignoring_gone(process.kill)
    psutil.wait_procs(late, timeout=grace)
    return len(alive)


def proportional_memory(processes: Iterable[psutil.Process]) -> int:
    """Sum of PSS in bytes: shared pages counted once over all (Linux)."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def _ignoring_gone(action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except psutil.NoSuchProcess:
        return
