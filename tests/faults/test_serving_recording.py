"""Predictions on their way to monitoring, while monitoring is killed."""

import os
import signal
import time
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from packline.monitoring.v1.monitoring_pb2 import CompareVersionsRequest, CompareVersionsResponse
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline_core.config import MONITORING_APPLICATION
from packline_core.rpc import call_metadata
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, echo_pack
from packline_echo.load import EchoLoad

PACK = "recorded"


def test_kill_9_of_monitoring_under_load_loses_no_prediction_and_fails_no_call(
    fleet: RunningFleet, tmp_path: Path
) -> None:
    fleet.put(echo_pack(PACK, write_bundle(tmp_path / "v1", offset=1.0), recording=True))
    since = Timestamp()
    since.GetCurrentTime()
    with EchoLoad(fleet.settings.address, PACK, clients=2) as load:
        time.sleep(1)
        (monitoring,) = fleet.api.applications()[MONITORING_APPLICATION].running
        assert monitoring.pid is not None
        os.kill(monitoring.pid, signal.SIGKILL)
        time.sleep(3)
    assert load.failures == []
    deadline = time.monotonic() + 90
    spool = fleet.settings.spool / PACK
    # A file of the spool goes a moment after monitoring has what is in it.
    while (seen := figures(fleet, since)).get("v1", (0, 0)) != (len(load.answers), 0) or list(spool.glob("*.pb")):
        assert time.monotonic() < deadline, f"{seen} of {len(load.answers)}; spool: {list(spool.glob('*'))}"
        time.sleep(0.5)
    fleet.remove(PACK, wait=False)


def figures(fleet: RunningFleet, since: Timestamp) -> dict[str, tuple[int, int]]:
    """Calls and errors of each version, as monitoring has them."""
    with fleet.channel(retries=True) as channel:
        answer: CompareVersionsResponse = MonitoringServiceStub(channel).CompareVersions(
            CompareVersionsRequest(pack=PACK, since=since), metadata=call_metadata(MONITORING_APPLICATION)
        )
    return {version.model_version: (version.requests, version.errors) for version in answer.versions}
