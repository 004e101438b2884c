"""Monitoring in a real fleet: behind Serve's ingress, scraped by Prometheus, killed and started anew by Serve."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline_core.config import MONITORING_APPLICATION
from packline_core.errors import InvalidInput, Unavailable
from packline_core.rpc import error_from_call, open_channel
from packline_echo.fleet import RunningFleet

from services.monitoring.tests.harness import PACK, prediction
from services.monitoring.tests.test_faults import fresh

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def served(fleet: RunningFleet) -> RunningFleet:
    fleet.put()
    return fleet


@pytest.fixture
def channel(served: RunningFleet) -> Iterator[grpc.Channel]:
    with open_channel(served.settings.address, MONITORING_APPLICATION, retries=True) as channel:
        yield channel


def requests(channel: grpc.Channel) -> int:
    stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
    answer = stub.CompareVersions(pb.CompareVersionsRequest(pack=PACK), timeout=30)
    return sum(figures.requests for figures in answer.versions)


def test_it_records_and_refuses_through_the_ingress(channel: grpc.Channel) -> None:
    stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
    batch = [fresh(payload=b"page"), fresh(code=13)]
    assert stub.RecordPredictions(pb.RecordPredictionsRequest(predictions=batch), timeout=30).recorded == 2
    assert requests(channel) == 2
    with pytest.raises(grpc.RpcError) as refused:
        stub.RecordPredictions(pb.RecordPredictionsRequest(predictions=[prediction(pack="No Pack")]), timeout=30)
    error = error_from_call(refused.value)
    assert isinstance(error, InvalidInput)
    assert error.field == "predictions[0].pack"
    # No training runs here, and a Pack that nobody described cannot be corrected.
    with pytest.raises(grpc.RpcError) as refused:
        stub.Correct(pb.CorrectRequest(pack="unheard", correction_id="c", truth_json="[]", payload=b"page"), timeout=30)
    assert error_from_call(refused.value).reason == "TRAINING_UNAVAILABLE"


def test_it_is_healthy(channel: grpc.Channel) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="packline.monitoring.v1.MonitoringService")
    assert health.Check(request, timeout=30).status == health_pb2.HealthCheckResponse.SERVING


def test_prometheus_finds_its_counts_at_the_nodes_port(fleet: RunningFleet, channel: grpc.Channel) -> None:
    stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
    stub.RecordPredictions(pb.RecordPredictionsRequest(predictions=[fresh(model_version="v7")]), timeout=30)
    page = ""
    for _ in range(60):
        with urllib.request.urlopen(f"http://127.0.0.1:{fleet.ray.ports.metrics}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        if re.search(r'^ray_packline_predictions_total\{.*model_version="v7".*\} 1\.0$', page, re.MULTILINE):
            break
        time.sleep(1)
    else:
        pytest.fail("\n".join(line for line in page.splitlines() if "packline" in line) or page[:500])
    assert "ray_packline_prediction_latency_seconds_bucket" in page


@pytest.mark.slow
def test_killed_it_comes_back_with_all_that_it_acknowledged(fleet: RunningFleet, channel: grpc.Channel) -> None:
    stub = monitoring_pb2_grpc.MonitoringServiceStub(channel)
    before = requests(channel)
    batch = [fresh() for _ in range(50)]
    assert stub.RecordPredictions(pb.RecordPredictionsRequest(predictions=batch), timeout=30).recorded == 50
    (replica,) = fleet.api.applications()[MONITORING_APPLICATION].running
    assert replica.pid is not None
    os.kill(replica.pid, signal.SIGKILL)
    for _ in range(60):
        try:
            assert requests(channel) == before + 50
            return
        except grpc.RpcError as error:
            assert isinstance(error_from_call(error), Unavailable)
            time.sleep(1)
    pytest.fail("it did not come back")
