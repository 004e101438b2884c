"""What a replica is told while it runs: which versions to hold, how calls are shared, what is recorded.

It travels as the `user_config` of the Pack's deployment, as plain values, so that a change reaches running replicas
without a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from packline_core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Version:
    """A version to hold.

    Attributes:
        version: Its name in the Pack: `v3`.
        digest: `sha256:…` of its bundle.
        uri: fsspec URL of the sealed folder.
    """

    version: str
    digest: str
    uri: str


@dataclass(frozen=True, slots=True)
class Candidate(Version):
    """A version in rollout.

    Attributes:
        weight: Percent of the calls that it answers, 0 to 100.
        shadow: Whether it gets copies of calls that active answers.
    """

    weight: int = 0
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """What goes to monitoring.

    Attributes:
        enabled: Whether anything does.
        payload_share: Share of the calls whose payload and answer go along, 0 to 1.
    """

    enabled: bool = True
    payload_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a replica takes on.

    Attributes:
        max_queue: Items that may wait; more are refused.
        max_batch: Most items of one batch.
        max_batch_seconds: A batch is not made larger than it is thought to take.
        threads: CPU threads of a session; 0 means all of the node.
        workers: Batches that run at the same time.
    """

    max_queue: int = 64
    max_batch: int = 32
    max_batch_seconds: float = 1.0
    threads: int = 0
    workers: int = 1


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Everything that a replica is told.

    Attributes:
        pack: The Pack that it serves.
        task: The Pack's task.
        active: The version that answers; None while the Pack has none.
        candidate: The version in rollout, if there is one.
        options: The task's own part of the manifest.
    """

    pack: str
    task: str
    active: Version | None = None
    candidate: Candidate | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    recording: Recording = Recording()
    limits: Limits = Limits()

    def to_user_config(self) -> dict[str, Any]:
        """Plain values, as Serve's configuration takes them."""
        return asdict(self)


def from_user_config(raw: Mapping[str, Any]) -> ServingConfig:
    """Reads what `to_user_config` wrote.

    Raises:
        InvalidInput: Naming what is unknown or missing.
    """
    try:
        parts = dict(raw)
        active, candidate = parts.pop("active", None), parts.pop("candidate", None)
        return ServingConfig(
            active=None if active is None else Version(**active),
            candidate=None if candidate is None else Candidate(**candidate),
            recording=Recording(**parts.pop("recording", {})),
            limits=Limits(**parts.pop("limits", {})),
            **parts,
        )
    except TypeError as error:
        raise InvalidInput(f"user_config: {error}", reason="INVALID_USER_CONFIG", field="user_config") from None
