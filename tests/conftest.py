"""What the tests that cross rooms share: one real fleet for the whole session."""

from collections.abc import Iterator

import pytest
from packline_core.config import MONITORING_APPLICATION
from packline_echo.fleet import RunningFleet, running_fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    """A real Ray with Serve on free ports in a home of its own; tests add Packs of their own and remove them."""
    home = tmp_path_factory.mktemp("home")
    with running_fleet(home, services=(MONITORING_APPLICATION,)) as running:
        yield running
