"""What an adapter gives the loop: where Packs are declared, and where the fleet's configuration stands.

One machine has files and Serve's REST API; a cluster has the Pack objects and `spec.serveConfigV2` of a RayService.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from packline_core.errors import PacklineError
from packline_core.manifest import Pack

from packline_operator.facts import Pool, Serving


@dataclass(frozen=True, slots=True)
class Declared:
    """A Pack as it was applied; `manifest` is None where it cannot be read, and `unreadable` then says why."""

    name: str
    generation: int
    manifest: Pack | None
    unreadable: str = ""
    deleting: bool = False


class PackSource(Protocol):
    """Where Packs are declared and told of."""

    def declared(self) -> Sequence[Declared]:
        """Every Pack that there is, oldest first."""

    def status(self, name: str) -> Mapping[str, Any] | None:
        """What was written last; None before anything was."""

    def write_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Writes a status, where it differs."""

    def add_events(self, name: str, events: Sequence[Mapping[str, Any]]) -> None:
        """Adds events; one whose `key` was told before is left out."""

    def remove(self, name: str) -> None:
        """Lets the declaration go: the end of a deletion."""


@dataclass(frozen=True, slots=True)
class FleetView:
    """The fleet as it stands.

    Attributes:
        packs: By name, those that have a configuration or that Serve still knows.
        current: Whether everything beside the Packs (services, ports, servicers) is as wanted.
        pools: By name; None where they are not known.
        trouble: Why nobody can say what became of the configuration; then only `config` of each Pack is known.
    """

    packs: Mapping[str, Serving]
    current: bool
    pools: Mapping[str, Pool] | None = None
    trouble: PacklineError | None = None


class FleetPort(Protocol):
    """The fleet's one configuration."""

    def view(self) -> FleetView:
        """Reads it, with what became of it. Raises `errors.Unavailable`."""

    def put(self, packs: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes it whole: the services and these Packs' applications, and none else.

        Raises:
            Unavailable: Nobody takes it.
            InvalidInput: It is refused.
        """
