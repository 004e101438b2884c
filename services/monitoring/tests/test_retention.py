"""Retention, with a clock that moves: payloads, rows and sums go when they are due, not before."""

import os
from datetime import timedelta

import grpc
import pytest
import sqlalchemy as sa
from packline_core.errors import NotFound
from packline_core.rpc import error_from_call
from packline_core.store import ObjectStore
from packline_monitoring.payloads import Payloads
from packline_monitoring.tables import erased, predictions, tallies

from services.monitoring.tests.harness import NOW, PACK, Service, prediction
from tests.backends.fixtures import EMBEDDED


async def kept(service: Service, prediction_id: str) -> bool:
    try:
        await service.payload(prediction_id)
    except grpc.aio.AioRpcError as error:
        assert isinstance(error_from_call(error), NotFound)
        return False
    return True


def count(service: Service, table: sa.Table) -> int:
    with service.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


async def test_payloads_go_after_the_packs_retention_and_figures_stay(service: Service) -> None:
    service.peer.manifests[PACK] = {"task": "words", "recording": {"retention": "10d"}}
    await service.record(prediction(prediction_id="old", payload=b"old", answer_json="[1]"))
    await service.record(prediction(NOW + timedelta(minutes=4), prediction_id="new", payload=b"new"))
    service.clock.forward(days=10)
    await service.monitoring.housekeeping.round()
    assert (await kept(service, "old"), await kept(service, "new")) == (True, True)
    service.clock.forward(minutes=2)
    await service.monitoring.housekeeping.round()
    assert (await kept(service, "old"), await kept(service, "new")) == (False, True)
    with service.engine.connect() as connection:
        answers = connection.scalars(sa.select(predictions.c.answer_json)).all()
    assert list(answers) == ["", ""]
    assert (await service.compare()).versions[0].requests == 2


async def test_a_payload_shared_with_a_newer_prediction_stays(service: Service) -> None:
    await service.record(prediction(NOW - timedelta(days=40), prediction_id="old", payload=b"same"))
    await service.record(prediction(prediction_id="new", payload=b"same"))
    await service.monitoring.housekeeping.round()
    assert (await kept(service, "old"), await kept(service, "new")) == (False, True)


async def test_more_than_one_chunk_goes(service: Service) -> None:
    await service.record(*(prediction(payload=b"%d" % n) for n in range(1200)))
    service.clock.forward(days=31)
    await service.monitoring.housekeeping.round()
    assert service.objects() == []


async def test_rows_and_sums_go_after_their_bounds(service: Service) -> None:
    await service.record(prediction(), prediction(prediction_id="corrected", payload=b"page"))
    await service.correct(prediction_id="corrected")
    service.clock.forward(days=91)
    await service.monitoring.housekeeping.round()
    assert count(service, predictions) == 1
    assert (await service.cases())[0].model_version == "v1"
    assert (await service.compare()).versions[0].requests == 2
    service.clock.forward(days=400)
    await service.monitoring.housekeeping.round()
    assert (count(service, tallies), count(service, erased)) == (0, 0)


async def test_training_away_means_the_retention_last_known(service: Service) -> None:
    service.peer.manifests[PACK] = {"task": "words", "recording": {"retention": "60d"}}
    await service.record(prediction(prediction_id="p", payload=b"page"))
    await service.monitoring.housekeeping.round()
    await service.peer.stop()
    service.clock.forward(days=45)
    await service.monitoring.housekeeping.round()
    assert await kept(service, "p")


async def test_payloads_that_no_row_names_are_swept(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    # A process killed between the store and the table leaves this.
    Payloads(ObjectStore(service.backend.store)).put(PACK, b"stray")
    if service.backend.name == EMBEDDED:  # S3 shows no half of an object
        half = service.backend.objects / "monitoring" / PACK / "ab" / ".writing-1"
        half.parent.mkdir()
        half.write_bytes(b"half a payload")
        os.utime(half, (0, NOW.timestamp() - 7200))
    await service.monitoring.housekeeping.round()
    assert [path.read_bytes() for path in service.objects()] == [b"page"]


async def test_a_payload_that_vanished_from_the_store_is_as_one_not_kept(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    service.objects()[0].unlink()
    assert not await kept(service, "p")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.correct(prediction_id="p")
    assert error_from_call(refused.value).reason == "PAYLOAD_NOT_KEPT"
    assert (await service.correct(prediction_id="p", payload=b"page")).created
    assert await kept(service, "p")


async def test_what_one_pack_meets_does_not_keep_the_others_from_theirs(service: Service) -> None:
    service.peer.manifests |= {"a-pack": {"task": "words", "recording": {"retention": "no duration"}}}
    await service.record(prediction(pack="a-pack"), prediction(prediction_id="p", payload=b"page"))
    service.clock.forward(days=31)
    await service.monitoring.housekeeping.round()
    assert not await kept(service, "p")
