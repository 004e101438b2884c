"""Every RPC of the serving path's example task, fuzzed on a real fleet."""

from pathlib import Path

from grpc_health.v1 import health_pb2
from packline.echo.v1 import echo_pb2
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, echo_pack

from tests.fuzz import fuzz


def test_fuzz(fleet: RunningFleet, tmp_path: Path) -> None:
    fleet.put(echo_pack("fuzzed", write_bundle(tmp_path / "v1", offset=1.0)))
    (before,) = fleet.api.applications()["fuzzed"].running
    with fleet.channel() as channel:
        for service in (
            echo_pb2.DESCRIPTOR.services_by_name["EchoService"],
            health_pb2.DESCRIPTOR.services_by_name["Health"],
        ):
            fuzz(channel, service, application="fuzzed", pack="fuzzed")
    (after,) = fleet.api.applications()["fuzzed"].running
    assert (after.replica_id, after.pid) == (before.replica_id, before.pid), "no crash"
    fleet.remove("fuzzed", wait=False)
