"""Two bad versions, made and published on purpose: what keeps each from harming the factory."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from packline_client import Client
from packline_client.labelled import ocr_answer
from packline_client.ocr import Document
from packline_client.training_types import PackState, Version, VersionState
from packline_core.task import get_task

from examples.ocr.demo.papers import Paper
from examples.ocr.demo.platform import Stopwatch
from examples.ocr.report.facts import Safeguard

# A person does not correct a page for one letter, but for a page that cannot be used.
UNUSABLE = 0.3


def wait_for(what: str, seconds: float, look: Callable[[], PackState | Version | None]) -> PackState | Version | None:
    """Looks once a second until there is something, or the seconds are over; then None."""
    watch = Stopwatch()
    while watch.seconds < seconds:
        if found := look():
            return found
        time.sleep(1)
    print(f"  {what}: not seen within {seconds:.0f} s", flush=True)
    return None


def rejected(client: Client, pack: str, version: str) -> Callable[[], Version | None]:
    """Looks whether a version was rejected."""

    def look() -> Version | None:
        found = next((v for v in client.training.versions(pack) if v.version == version), None)
        return found if found is not None and found.state is VersionState.REJECTED else None

    return look


def bad_candidate(client: Client, pack: str, spoiled: Path) -> Safeguard:
    """Publishes a spoiled version of a Pack with a gate."""
    version = client.training.publish(pack, spoiled).version
    end = wait_for(f"{version} rejected", 240, rejected(client, pack, version))
    return Safeguard(
        title="A bad version at the gate",
        tried=f"A spoiled model was published as {version} of {pack}: intact and runnable, but it reads badly.",
        happened=end.reason if isinstance(end, Version) else f"{version} was not rejected in time.",
        held=end is not None,
    )


def regressing_version(client: Client, pack: str, spoiled: Path, corrected: Callable[[], int]) -> Safeguard:
    """Publishes it to a Pack whose gate is off, while users work with the Pack and correct what they cannot use."""
    version = client.training.publish(pack, spoiled).version
    end = wait_for(f"{version} rolled back", 240, rejected(client, pack, version))
    state = client.training.pack(pack).state
    active = state.active.version if state and state.active else "nothing"
    return Safeguard(
        title="A worse version among real calls",
        tried=f"The same model was published as {version} of {pack}, a Pack whose gate is off, and answered half of "
        f"the calls while users corrected what they could not use ({corrected()} pages).",
        happened=f"{end.reason} {active} answers all calls again." if isinstance(end, Version) else "It stayed.",
        held=end is not None and active != version,
    )


class Users:
    """People who work with what a Pack reads: who cannot use a page corrects it."""

    def __init__(self, client: Client, pack: str) -> None:
        self._client, self._pack = client, pack
        self.corrections = 0

    def answered(self, paper: Paper, document: Document) -> None:
        """Looks at an answer as a person with the paper in hand does."""
        if paper.example is None:
            return
        count = get_task("ocr").score(ocr_answer(document), paper.example).counts["cer"]
        if count.value > UNUSABLE * count.weight:
            self._client.monitoring.correct(
                self._pack,
                paper.example.truth,
                prediction_id=document.prediction_id,
                payload=paper.example.payload,
                correction_id=hashlib.sha256(document.prediction_id.encode()).hexdigest(),
            )
            self.corrections += 1
