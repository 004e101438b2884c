"""Live traffic: a thread that sends one document after another, as a factory does, and counts what comes back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle

from packline_client import Client
from packline_client.ocr import Document
from packline_core.errors import PacklineError

from examples.ocr.demo.papers import Paper
from examples.ocr.report.facts import Traffic

Answered = Callable[[Paper, Document], None]


class LiveTraffic:
    """Sends papers to a Pack until it is told to stop. Use it in `with`.

    Args:
        client: Of the fleet.
        pack: That is to read them.
        papers: Sent over and over.
        pause: Seconds between an answer and the next call.
        answered: Called with each answer, such as to correct it.
    """

    def __init__(
        self, client: Client, pack: str, papers: Sequence[Paper], pause: float, answered: Answered | None = None
    ) -> None:
        self._client, self._pack, self._papers, self._pause = client, pack, papers, pause
        self._answered = answered
        self._stop = threading.Event()
        self._versions: Counter[str] = Counter()
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._send, name=f"traffic-{pack}")

    def __enter__(self) -> LiveTraffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def figures(self) -> Traffic:
        """What was sent so far."""
        answered = sum(self._versions.values())
        return Traffic(answered + len(self.errors), len(self.errors), dict(self._versions))

    def _send(self) -> None:
        for paper in cycle(self._papers):
            if self._stop.is_set():
                return
            try:
                document = self._client.ocr.recognize(self._pack, paper.image)
            except PacklineError as error:
                self.errors.append(f"{paper.image.name}: {error}")
            else:
                self._versions[document.model_version] += 1
                if self._answered is not None:
                    self._answered(paper, document)
            self._stop.wait(self._pause)
