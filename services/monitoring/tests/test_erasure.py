"""Erasure leaves no trace: not in the tables' bytes, not in the store, not in training, not later."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.bundle import bytes_digest

from services.monitoring.tests.harness import PACK, Service, prediction, truth

SECRET = "Minji Park, 1-2 Example Street"
PAYLOAD = b"payload of " + SECRET.encode() * 500


async def erase(service: Service, prediction_id: str = "", digest: str = "") -> pb.ErasePredictionResponse:
    request = pb.ErasePredictionRequest(pack=PACK, prediction_id=prediction_id, payload_digest=digest)
    return await service.stub.ErasePrediction(request)  # type: ignore[no-any-return]


def files_that_hold(service: Service, text: str) -> list[Path]:
    folders = [service.backend.objects]
    if service.engine.dialect.name == "sqlite":
        folders.append(Path(str(service.engine.url.database)).parent)
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    return sorted(path for path in found if text.encode() in path.read_bytes())


@pytest.fixture
async def told(service: Service) -> Service:
    """A service that was told a secret in every way there is, among much else."""
    others = [prediction(payload=b"%d" % n * 300, answer_json=truth("x" * n)) for n in range(200)]
    answer = json.dumps([{"transcription": SECRET * 200}])
    await service.record(*others[:100])
    await service.record(
        prediction(prediction_id="secret", payload=PAYLOAD, answer_json=answer),
        prediction(prediction_id="shadow", payload=PAYLOAD, answer_json=answer, shadow_of="secret", model_version="v2"),
    )
    await service.correct(prediction_id="secret", correction_id="c", truth_json=truth(SECRET * 200))
    await service.record(*others[100:])
    return service


async def test_an_erased_prediction_leaves_no_trace(told: Service) -> None:
    if told.engine.dialect.name == "sqlite":
        assert len(files_that_hold(told, SECRET)) >= 2
    answer = await erase(told, "secret")
    assert answer == pb.ErasePredictionResponse(removed=5)
    assert files_that_hold(told, SECRET) == []
    assert told.peer.erased == [bytes_digest(PAYLOAD)]
    assert await told.cases() == []
    assert len(told.objects()) == 200
    assert await erase(told, "secret") == pb.ErasePredictionResponse()


async def test_figures_stay_as_they_were(told: Service) -> None:
    before = await told.compare()
    await erase(told, "secret")
    after = await told.compare()
    for figures in (*before.versions, *after.versions):
        figures.corrected = 0
    assert after == before


async def test_a_record_or_correction_that_comes_later_is_not_taken_in(told: Service) -> None:
    await erase(told, "secret")
    late = [
        prediction(prediction_id="secret", payload=PAYLOAD, answer_json=truth(SECRET)),
        prediction(prediction_id="late shadow", shadow_of="secret", payload=PAYLOAD, answer_json=truth(SECRET)),
    ]
    assert (await told.record(*late)).recorded == 0
    with pytest.raises(Exception, match="was erased"):
        await told.correct(prediction_id="secret", payload=PAYLOAD, truth_json=truth(SECRET))
    await told.monitoring.housekeeping.round()
    assert files_that_hold(told, SECRET) == []


async def test_a_payload_that_another_prediction_has_too_stays(told: Service) -> None:
    await told.record(prediction(prediction_id="twin", payload=PAYLOAD))
    assert (await erase(told, "secret")).removed == 4
    assert await told.payload("twin") == PAYLOAD


async def test_naming_the_payload_erases_all_that_is_kept_of_it(told: Service) -> None:
    await told.record(prediction(prediction_id="twin", payload=PAYLOAD, answer_json=truth(SECRET)))
    await told.correct(payload=PAYLOAD, truth_json=truth(SECRET))
    answer = await erase(told, digest=bytes_digest(PAYLOAD))
    assert (answer.removed, answer.pending_in_training) == (7, False)
    assert files_that_hold(told, SECRET) == []
    assert (await told.record(prediction(prediction_id="twin", payload=PAYLOAD))).recorded == 0


async def test_training_away_is_remembered_and_done_later(told: Service) -> None:
    await told.peer.stop()
    answer = await erase(told, "secret")
    assert (answer.removed, answer.pending_in_training) == (4, True)
    assert files_that_hold(told, SECRET) == []
    await told.monitoring.housekeeping.round()
    assert told.peer.erased == []
    await told.peer.start()
    for _ in range(50):  # gRPC takes its time to connect again
        await told.monitoring.housekeeping.round()
        if told.peer.erased:
            break
        await asyncio.sleep(0.2)
    assert told.peer.erased == [bytes_digest(PAYLOAD)]
    await told.monitoring.housekeeping.round()
    assert len(told.peer.erased) == 1


async def test_other_corrections_of_the_same_example_are_taken_in_by_training_again(told: Service) -> None:
    await told.record(prediction(prediction_id="twin", payload=PAYLOAD))
    await told.correct(prediction_id="twin", correction_id="twin")
    assert [case.sequence for case in await told.cases()] == [1, 2]
    await erase(told, "secret")
    (case,) = await told.cases(after=2)
    assert (case.sequence, case.correction_id) == (3, "twin")


async def test_a_pack_is_forgotten_whole_and_begins_anew(told: Service) -> None:
    await told.record(prediction(pack="other", payload=b"stays"))
    await told.stub.ForgetPack(pb.ForgetPackRequest(pack=PACK))
    assert files_that_hold(told, SECRET) == []
    assert [path.read_bytes() for path in told.objects()] == [b"stays"]
    assert await told.compare() == pb.CompareVersionsResponse()
    # A replica's spool still has predictions of the Pack that is gone.
    assert (await told.record(prediction())).recorded == 0
    told.clock.forward(seconds=10)
    assert (await told.record(prediction(told.clock.now))).recorded == 1
    assert (await told.correct(payload=b"page", correction_id="c")).corrections == 1


async def test_a_payload_on_its_way_in_is_not_removed_by_another_ones_erasure(service: Service) -> None:
    for round_number in range(10):
        name = f"p{round_number}"
        await service.record(prediction(prediction_id=name, payload=PAYLOAD))
        await asyncio.gather(
            erase(service, name), service.record(prediction(prediction_id=f"next{round_number}", payload=PAYLOAD))
        )
        assert await service.payload(f"next{round_number}") == PAYLOAD
        await erase(service, f"next{round_number}")
    assert service.objects() == []


def test_sqlite_overwrites_what_it_deletes(tmp_path: Path) -> None:
    from packline_monitoring.tables import open_database

    engine = open_database(f"sqlite:///{tmp_path / 'm.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    engine.dispose()
    # The journal's mode is the file's, so any process that opens it finds it.
    plain = sqlite3.connect(tmp_path / "m.db")
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()
