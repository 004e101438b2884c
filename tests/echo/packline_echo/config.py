"""The task's part of a manifest, and what its bundles say of themselves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packline_core.errors import BundleRejected
from pydantic import BaseModel, ConfigDict

MODEL = "model.onnx"
SETTINGS = "echo.json"

# How a bundle misbehaves, for the tests of what must survive it.
Fault = Literal["", "kill_at_load", "kill_at_load_in_replica", "kill_at_call", "raise_at_call", "hang_at_load"]


class EchoSpec(BaseModel):
    """`spec.echo` of a manifest: nothing to set."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class EchoSettings:
    """A bundle's settings.

    Attributes:
        width: Values that the graph takes at a time; 0 means any number.
        offset: What the graph adds.
        fault: How it misbehaves.
    """

    width: int = 0
    offset: float = 0.0
    fault: Fault = ""

    def write(self, folder: Path) -> None:
        """Writes them into a bundle's folder."""
        (folder / SETTINGS).write_text(json.dumps(asdict(self)), encoding="utf8")


def read_settings(path: Path) -> EchoSettings:
    """Reads a bundle's settings; raises `BundleRejected`."""
    try:
        return EchoSettings(**json.loads(path.read_text(encoding="utf8")))
    except (OSError, ValueError, TypeError) as error:
        raise BundleRejected(f"{path.name} cannot be read: {error}", reason="SETTINGS_INVALID") from error
