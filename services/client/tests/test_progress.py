"""A run that is followed: few lines without a terminal, and over a service that goes away for a while."""

from __future__ import annotations

from typing import Any

import pytest
from packline.training.v1 import training_pb2 as pb
from packline.training.v1 import training_pb2_grpc
from packline_client import Client
from packline_client.cli.progress import follow_run
from packline_client.convert import from_proto
from packline_client.training_types import Run, RunState
from packline_core.errors import Unavailable
from packline_core.rpc import Call, rpc

from .conftest import served


class Runs(training_pb2_grpc.RunServiceServicer):
    """Tells a run's progress, and goes away once half-way."""

    def __init__(self) -> None:
        self.watched = 0

    @rpc
    async def WatchRun(self, request: Any, call: Call) -> Any:
        self.watched += 1
        for percent in range(0 if self.watched == 1 else 50, 100):
            if percent == 50 and self.watched == 1:
                raise Unavailable("the service restarts")
            stage = f"trial 1 of 1: step {percent} of 99"
            run = pb.Run(run_id="r", pack=request.pack, state=pb.RUN_STATE_RUNNING, percent=percent, stage=stage)
            yield pb.WatchRunResponse(run=run)
        end = pb.Run(run_id="r", pack=request.pack, state=pb.RUN_STATE_SUCCEEDED, percent=100, stage="ended")
        yield pb.WatchRunResponse(run=end)


def test_a_run_is_followed_over_a_restart_in_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    runs = Runs()
    begun = from_proto(Run, pb.Run(run_id="r", pack="invoices", state=pb.RUN_STATE_QUEUED))
    with (
        served(lambda server: training_pb2_grpc.add_RunServiceServicer_to_server(runs, server)) as address,
        Client(address, timeout=20) as client,
    ):
        ended = follow_run(client, begun)
    assert ended.state is RunState.SUCCEEDED
    assert runs.watched == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0].split() == ["0%", "trial", "1", "of", "1:", "step", "0", "of", "99"]
    assert lines[-1].split() == ["100%", "ended"]
