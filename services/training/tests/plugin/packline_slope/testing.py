"""What the tests of training share."""

from datetime import UTC, datetime

from packline_core.manifest import Pack, parse_pack


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def manifest(name: str = "line", **spec: object) -> Pack:
    raw = {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": name}}
    return parse_pack({**raw, "spec": {"task": "slope", **spec}})
