"""Which version is put to the gate, and when: the newest that waits, one at a time, against what is active now."""

from __future__ import annotations

from datetime import datetime, timedelta

from packline_operator.domain import StartRun
from packline_operator.facts import Registry, RunKind, RunState, Version, VersionState
from packline_operator.words import moment

_FIRST_RETRY = timedelta(minutes=1)
_LAST_RETRY = timedelta(hours=1)


def to_judge(registry: Registry) -> Version | None:
    """The newest version that waits and is newer than active. Older ones are superseded, and come back into view only
    when the newer ones are rejected.
    """
    waiting = [
        version
        for version in registry.versions
        if version.state in {VersionState.REGISTERED, VersionState.PASSED} and version.number > registry.active.number
    ]
    return max(waiting, key=lambda version: version.number, default=None)


def gate_to_start(pack: str, registry: Registry, version: Version, now: datetime) -> tuple[StartRun | None, str]:
    """The gate's run to start now, if one is to be, with the state of things in a sentence.

    A run that ended without a judgement that holds (it failed, or another version has become active since) is followed
    by another, a minute later and then ever more rarely; the last one's end is part of the next one's id.
    """
    gates = [run for run in registry.runs if run.kind is RunKind.GATE]
    at_gate = next((run.version for run in gates if run.in_progress), None)
    if at_gate is not None:
        return None, f"{at_gate} is at the gate{'' if at_gate == version.name else f'; {version.name} comes after it'}."
    runs = [run for run in gates if run.version == version.name]
    run_id = f"{pack}-gate-{version.name}"
    if runs:
        last = max(run.ended_at or run.created_at for run in runs)
        failed = [run for run in runs if run.state is not RunState.SUCCEEDED]
        wait = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(len(failed), 6))
        if now - last < wait:
            why = f"failed ({runs[0].message})" if failed else "judged nothing that still holds"
            return None, f"The gate's last run of {version.name} {why}; again at {moment(last, wait)}."
        run_id += f"-{int(last.timestamp())}"
    start = StartRun(run_id, RunKind.GATE, f"{version.name} was registered", version.name)
    return start, f"{version.name} goes to the gate."
