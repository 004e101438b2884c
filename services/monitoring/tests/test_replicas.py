"""Replicas: the last report of each, for half a minute."""

import grpc
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb

from services.monitoring.tests.harness import PACK, Service


def report(replica_id: str = "r1", pack: str = PACK, version: str = "v1") -> pb.ReportReplicaRequest:
    slot = pb.Slot(state=pb.SLOT_STATE_READY, version=version, digest="sha256:1")
    refused = pb.Slot(state=pb.SLOT_STATE_REFUSED, version="v9", reason="FILE_TRUNCATED", message="model.onnx is short")
    return pb.ReportReplicaRequest(
        replica=pb.Replica(pack=pack, replica_id=replica_id, node="n1", active=slot, candidate=refused)
    )


async def listed(service: Service, pack: str = PACK) -> list[pb.Replica]:
    return list((await service.stub.ListReplicas(pb.ListReplicasRequest(pack=pack))).replicas)


async def test_a_replica_is_listed_as_it_last_reported(service: Service) -> None:
    await service.stub.ReportReplica(report())
    service.clock.forward(seconds=5)
    await service.stub.ReportReplica(report(version="v2"))
    await service.stub.ReportReplica(report("r2", pack="other"))
    (replica,) = await listed(service)
    wanted = report(version="v2").replica
    wanted.reported_at.FromDatetime(service.clock.now)
    assert replica == wanted


async def test_a_silent_replica_is_forgotten(service: Service) -> None:
    await service.stub.ReportReplica(report())
    service.clock.forward(seconds=30)
    assert len(await listed(service)) == 1
    service.clock.forward(seconds=1)
    assert await listed(service) == []


async def test_a_forgotten_packs_replicas_go_with_it(service: Service) -> None:
    await service.stub.ReportReplica(report())
    await service.stub.ReportReplica(report(pack="other"))
    await service.stub.ForgetPack(pb.ForgetPackRequest(pack=PACK))
    assert (len(await listed(service)), len(await listed(service, "other"))) == (0, 1)


async def test_a_report_without_a_name_is_refused(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=r"replica\.replica_id"):
        await service.stub.ReportReplica(report(""))
