"""Two installations on one machine: each answers its own callers, and stopping one leaves the other alone."""

from pathlib import Path

import pytest
from packline.echo.v1.echo_pb2 import EchoRequest
from packline_core.errors import FailedPrecondition
from packline_core.fleet.local_ray import find_ray, start_ray, stop_ray
from packline_core.fleet.processes import fleet_processes
from packline_core.rpc import call_metadata
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, echo_pack, running_fleet


@pytest.mark.slow
@pytest.mark.timeout(900)  # two fleets start on one machine
def test_two_installations_live_side_by_side(fleet: RunningFleet, tmp_path: Path) -> None:
    here = write_bundle(tmp_path / "here", offset=1.0)
    there = write_bundle(tmp_path / "there", offset=2.0)
    fleet.put(echo_pack("same-name", here))
    request, metadata = EchoRequest(pack="same-name", values=[0.0]), call_metadata("same-name")
    with running_fleet(tmp_path / "home") as other:
        other.put(echo_pack("same-name", there))
        with fleet.echo() as ours, other.echo() as theirs:
            for _ in range(50):
                assert list(ours.Echo(request, metadata=metadata).values) == [1.0]
                assert list(theirs.Echo(request, metadata=metadata).values) == [2.0]
        with pytest.raises(FailedPrecondition):
            start_ray(other.settings)
    assert find_ray(tmp_path / "home") is None
    assert fleet_processes(other.ray.folder) == []
    assert stop_ray(tmp_path / "home") == 0
    with fleet.echo() as ours:
        assert list(ours.Echo(request, metadata=metadata).values) == [1.0]
    fleet.remove("same-name", wait=False)
