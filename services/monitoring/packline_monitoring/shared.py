"""What all parts of the service share: one database, one store, one clock, one set of bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from packline_core.task import Task
from sqlalchemy.engine import Engine

from packline_monitoring.arrivals import Arrivals
from packline_monitoring.config import Limits
from packline_monitoring.load import Memory, Threads
from packline_monitoring.meter import Meter
from packline_monitoring.packs import PackDirectory
from packline_monitoring.payloads import Payloads
from packline_monitoring.training import Training
from packline_monitoring.writer import Writer


@dataclass(frozen=True, slots=True)
class Shared:
    """Attributes are what their types say; `engine` is the database, `tasks` finds an installed task by name."""

    engine: Engine
    writer: Writer
    payloads: Payloads
    threads: Threads
    memory: Memory
    arrivals: Arrivals
    directory: PackDirectory
    training: Training
    tasks: Callable[[str], Task]
    meter: Meter
    clock: Callable[[], datetime]
    limits: Limits
