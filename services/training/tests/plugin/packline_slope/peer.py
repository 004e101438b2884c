"""Monitoring as training sees it: a real gRPC server that holds corrections for tests."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1 import monitoring_pb2_grpc
from packline_core.bundle import bytes_digest


class Peer(monitoring_pb2_grpc.MonitoringServiceServicer):
    """Keeps corrections by Pack; `address` is where it listens."""

    def __init__(self) -> None:
        self.address = ""
        self.payloads: dict[str, bytes] = {}
        self.cases: dict[str, list[pb.ErrorCase]] = {}

    def correct(self, pack: str, payload: bytes, truth_json: str, *, kept: bool = True) -> None:
        """Takes in a correction; one whose payload is not kept cannot be learned from."""
        cases = self.cases.setdefault(pack, [])
        number, digest = len(cases) + 1, bytes_digest(payload)
        if kept:
            self.payloads[digest] = payload
        cases.append(
            pb.ErrorCase(sequence=number, correction_id=f"c{number}", truth_json=truth_json, payload_digest=digest)
        )

    def ListErrorCases(self, request: pb.ListErrorCasesRequest, context: Any) -> pb.ListErrorCasesResponse:
        cases = [case for case in self.cases.get(request.pack, []) if case.sequence > request.after_sequence]
        return pb.ListErrorCasesResponse(cases=cases[: min(request.limit, 2)])

    def GetPayload(self, request: pb.GetPayloadRequest, context: Any) -> pb.GetPayloadResponse:
        if request.payload_digest not in self.payloads:
            context.abort(grpc.StatusCode.NOT_FOUND, "not kept")
        return pb.GetPayloadResponse(payload=self.payloads[request.payload_digest])


@contextmanager
def running_peer() -> Iterator[Peer]:
    server = grpc.server(ThreadPoolExecutor(4))
    peer = Peer()
    monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server(peer, server)
    peer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield peer
    finally:
        server.stop(0).wait()
