"""The gRPC face of monitoring: protobuf to domain and back, nothing else."""

from __future__ import annotations

from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.rpc import Call, rpc
from packline_core.serving.health import HealthServicer

from packline_monitoring import wire
from packline_monitoring.domain import Traces
from packline_monitoring.engine import Monitoring


class MonitoringServicer(HealthServicer):
    """MonitoringService and its health.

    Args:
        monitoring: The engine.
    """

    health_services = frozenset({"packline.monitoring.v1.MonitoringService"})

    def __init__(self, monitoring: Monitoring) -> None:
        self._monitoring = monitoring

    @rpc
    async def RecordPredictions(self, request: pb.RecordPredictionsRequest, call: Call) -> pb.RecordPredictionsResponse:
        """Takes in a batch of predictions."""
        predictions = [wire.to_prediction(message, index) for index, message in enumerate(request.predictions)]
        recorded = await self._monitoring.recording.record(predictions, dict(request.dropped))
        return pb.RecordPredictionsResponse(recorded=recorded.recorded, payloads_dropped=recorded.payloads_dropped)

    @rpc
    async def Correct(self, request: pb.CorrectRequest, call: Call) -> pb.CorrectResponse:
        """Takes in a correction."""
        corrected = await self._monitoring.corrections.correct(wire.to_correction(request))
        return pb.CorrectResponse(
            corrections=corrected.corrections, created=corrected.created, replaces=corrected.replaces
        )

    @rpc
    async def ListErrorCases(self, request: pb.ListErrorCasesRequest, call: Call) -> pb.ListErrorCasesResponse:
        """Corrections after a cursor."""
        monitoring = self._monitoring
        cases = await monitoring.threads.run(
            lambda: monitoring.comparisons.error_cases(request.pack, request.after_sequence, request.limit)
        )
        return pb.ListErrorCasesResponse(cases=[wire.from_case(case) for case in cases])

    @rpc
    async def GetPayload(self, request: pb.GetPayloadRequest, call: Call) -> pb.GetPayloadResponse:
        """A payload."""
        monitoring = self._monitoring
        payload = await monitoring.threads.run(
            lambda: monitoring.comparisons.payload(request.pack, request.prediction_id, request.payload_digest)
        )
        return pb.GetPayloadResponse(payload=payload)

    @rpc
    async def CompareVersions(self, request: pb.CompareVersionsRequest, call: Call) -> pb.CompareVersionsResponse:
        """Each version's figures in a window."""
        monitoring = self._monitoring
        since = wire.to_datetime(request.since, "since") if request.HasField("since") else None
        comparison = await monitoring.threads.run(
            lambda: monitoring.comparisons.compare(request.pack, since, list(request.versions))
        )
        return wire.from_comparison(comparison)

    @rpc
    async def ErasePrediction(self, request: pb.ErasePredictionRequest, call: Call) -> pb.ErasePredictionResponse:
        """Forgets a prediction or a payload."""
        traces = Traces(request.pack, request.prediction_id, request.payload_digest)
        erased = await self._monitoring.erasure.erase(traces)
        return pb.ErasePredictionResponse(removed=erased.removed, pending_in_training=erased.pending_in_training)

    @rpc
    async def ForgetPack(self, request: pb.ForgetPackRequest, call: Call) -> pb.ForgetPackResponse:
        """Forgets a Pack."""
        await self._monitoring.erasure.forget(request.pack)
        self._monitoring.replicas.forget(request.pack)
        return pb.ForgetPackResponse()

    @rpc
    async def ReportReplica(self, request: pb.ReportReplicaRequest, call: Call) -> pb.ReportReplicaResponse:
        """Takes in what a replica holds."""
        self._monitoring.replicas.report(wire.to_replica(request.replica))
        return pb.ReportReplicaResponse()

    @rpc
    async def ListReplicas(self, request: pb.ListReplicasRequest, call: Call) -> pb.ListReplicasResponse:
        """The replicas of a Pack."""
        replicas = self._monitoring.replicas.list(request.pack)
        return pb.ListReplicasResponse(replicas=[wire.from_replica(replica) for replica in replicas])
