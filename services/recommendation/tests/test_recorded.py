"""What a replica tells monitoring of an answer that nobody saw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline_core.serving.recorder import Entry, Recorder
from packline_core.task import Task, get_task

ANSWER = json.dumps({"basis": "user", "results": [{"item": "a", "score": 1.0}]})


class Taken(monitoring_pb2_grpc.MonitoringServiceServicer):
    """Takes in predictions, and remembers them."""

    def __init__(self) -> None:
        self.predictions: dict[str, pb.Prediction] = {}

    def RecordPredictions(self, request: pb.RecordPredictionsRequest, context: Any) -> pb.RecordPredictionsResponse:
        self.predictions |= {one.prediction_id: one for one in request.predictions}
        return pb.RecordPredictionsResponse(recorded=len(request.predictions))


@pytest.fixture
def monitoring() -> Iterator[tuple[Taken, str]]:
    taken = Taken()
    server = grpc.server(ThreadPoolExecutor(2))
    monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server(taken, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield taken, f"127.0.0.1:{port}"
    server.stop(None).wait()


def record(task: Task, monitoring: tuple[Taken, str], spool: Path) -> dict[str, pb.Prediction]:
    taken, address = monitoring
    recorder = Recorder("pack", task, address, spool, "replica")
    for entry in (
        Entry("kept", "v1", 1.0, 0.1, payload=b"asked", answer=lambda: ANSWER, kept=True),
        Entry("bare", "v1", 1.0, 0.1, answer=lambda: ANSWER),
        Entry("shadow of kept", "v2", 1.0, 0.1, answer=lambda: ANSWER, shadow_of="kept", kept=True),
        Entry("shadow of bare", "v2", 1.0, 0.1, answer=lambda: ANSWER, shadow_of="bare"),
    ):
        recorder.put(entry)
    recorder.close()
    return taken.predictions


def test_a_shadows_answer_is_told_where_that_of_its_call_is_kept(monitoring: tuple[Taken, str], tmp_path: Path) -> None:
    told = record(get_task("recommendation"), monitoring, tmp_path)
    assert {name for name, one in told.items() if one.answer_json} == {"kept", "shadow of kept"}
    assert told["kept"].payload == b"asked" and not told["shadow of kept"].payload
    assert told["shadow of bare"].signals["results"] == 1


def test_where_truths_tell_nothing_of_it_it_is_not(monitoring: tuple[Taken, str], tmp_path: Path) -> None:
    class Deaf(type(get_task("recommendation"))):  # type: ignore[misc]
        is_hit = None

    told = record(Deaf(), monitoring, tmp_path)
    assert {name for name, one in told.items() if one.answer_json} == {"kept"}
