"""Correct over gRPC: durable, idempotent, checked by the task, clear where there is nothing to learn from."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline_core.bundle import bytes_digest
from packline_core.errors import PacklineError
from packline_core.rpc import error_from_call

from services.monitoring.tests.harness import Service, prediction, truth

pytestmark = pytest.mark.backends


async def refusal(service: Service, **fields: object) -> PacklineError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.correct(**fields)
    return error_from_call(refused.value)


async def test_a_correction_becomes_an_error_case(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page", answer_json='[{"transcription": "wrong"}]'))
    answer = await service.correct(prediction_id="p", correction_id="c")
    assert (answer.corrections, answer.created, answer.replaces) == (1, True, "")
    (case,) = await service.cases()
    assert (case.sequence, case.correction_id, case.prediction_id, case.model_version) == (1, "c", "p", "v1")
    assert (case.truth_json, case.answer_json) == (truth("right"), '[{"transcription": "wrong"}]')
    assert (case.payload_digest, case.page) == (bytes_digest(b"page"), 1)
    assert await service.payload(digest=case.payload_digest) == b"page"


async def test_the_same_correction_again_changes_nothing(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    first = await service.correct(prediction_id="p", correction_id="c")
    again = await service.correct(prediction_id="p", correction_id="c", payload=b"page")
    assert (first.created, again.created, again.corrections) == (True, False, 1)
    assert len(await service.cases()) == 1


async def test_one_id_for_two_truths_is_refused_and_the_first_stands(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    await service.correct(prediction_id="p", correction_id="c")
    for changed in ({"truth_json": truth("other")}, {"page": 2}, {"payload": b"another page"}):
        error = await refusal(service, prediction_id="p", correction_id="c", **changed)
        assert (error.code.name, error.reason) == ("ALREADY_EXISTS", "CORRECTION_ID_TAKEN")
    assert [case.truth_json for case in await service.cases()] == [truth("right")]


async def test_the_same_correction_many_times_at_once_is_taken_once(service: Service) -> None:
    answers = await asyncio.gather(*(service.correct(payload=b"page", correction_id="c") for _ in range(20)))
    assert sum(answer.created for answer in answers) == 1
    assert {answer.corrections for answer in answers} == {1}


async def test_of_contradicting_corrections_the_newest_is_the_truth_and_all_are_kept(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    await service.correct(prediction_id="p", correction_id="first", truth_json=truth("one"))
    same = await service.correct(prediction_id="p", correction_id="same", truth_json=truth("one"))
    other = await service.correct(prediction_id="p", correction_id="other", truth_json=truth("two"))
    # The same page, sent by another user who got another prediction_id.
    elsewhere = await service.correct(payload=b"page", correction_id="elsewhere", truth_json=truth("three"))
    second_page = await service.correct(payload=b"page", page=2, truth_json=truth("four"))
    assert [a.replaces for a in (same, other, elsewhere, second_page)] == ["", "same", "other", ""]
    cases = await service.cases()
    assert [case.sequence for case in cases] == [1, 2, 3, 4, 5]
    assert cases[3].truth_json == truth("three")
    (figures,) = (await service.compare()).versions
    assert figures.corrected == 1


async def test_a_payload_of_ones_own_needs_no_prediction(service: Service) -> None:
    assert (await service.correct(payload=b"page")).created
    (case,) = await service.cases()
    assert (case.prediction_id, case.model_version) == ("", "")
    assert await service.payload(digest=case.payload_digest) == b"page"


async def test_what_is_not_kept_is_asked_for(service: Service) -> None:
    await service.record(prediction(prediction_id="p"))
    error = await refusal(service, prediction_id="p")
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "PAYLOAD_NOT_KEPT")
    assert (await service.correct(prediction_id="p", payload=b"page")).created
    assert await service.payload("p") == b"page"


async def test_an_unknown_prediction_is_refused_with_when_to_try_again(service: Service) -> None:
    error = await refusal(service, prediction_id="nobody")
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "PREDICTION_UNKNOWN")
    assert error.metadata["retry_after_seconds"] == "5"
    assert not service.objects()


async def test_a_correction_waits_for_the_record_that_its_replica_still_holds(service: Service) -> None:
    correcting = asyncio.ensure_future(service.correct(prediction_id="p"))
    await asyncio.sleep(0.1)
    await service.record(prediction(prediction_id="p", payload=b"page"))
    assert (await correcting).created


async def test_a_correction_with_its_own_payload_need_not_wait_and_is_joined_to_the_record_later(
    service: Service,
) -> None:
    await service.correct(prediction_id="p", payload=b"page")
    await service.record(prediction(prediction_id="p", payload=b"page", model_version="v3", answer_json="[1]"))
    (case,) = await service.cases()
    assert (case.model_version, case.answer_json) == ("v3", "[1]")
    (figures,) = (await service.compare()).versions
    assert (figures.model_version, figures.requests, figures.corrected) == ("v3", 1, 1)


async def test_another_payload_than_the_predictions_is_refused(service: Service) -> None:
    await service.record(prediction(prediction_id="p", payload=b"page"))
    error = await refusal(service, prediction_id="p", payload=b"another page")
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "PAYLOAD_MISMATCH")
    assert not await service.cases()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("no json", "truth_json"),
        ("{}", "truth_json"),
        ('[{"transcription": "a"}, {"text": "b"}]', "truth_json[1].transcription"),
    ],
)
async def test_a_malformed_truth_names_its_field_and_leaves_nothing(service: Service, wrong: str, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.correct(payload=b"page", truth_json=wrong)
    error = error_from_call(refused.value)
    assert (error.code.name, getattr(error, "field", "")) == ("INVALID_ARGUMENT", field)
    assert not await service.cases()
    assert not service.objects()


async def test_an_unknown_pack_is_refused(service: Service) -> None:
    error = await refusal(service, pack="nobody", payload=b"page")
    assert (error.code.name, error.reason) == ("NOT_FOUND", "UNKNOWN_PACK")


async def test_training_away_hinders_no_correction_of_a_pack_that_was_asked_about_before(service: Service) -> None:
    await service.peer.stop()
    error = await refusal(service, payload=b"page")
    assert (error.code.name, error.reason) == ("UNAVAILABLE", "TRAINING_UNAVAILABLE")
    await service.peer.start()
    for _ in range(50):  # gRPC takes its time to connect again
        try:
            assert (await service.correct(payload=b"page")).created
            break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.2)
    assert len(await service.cases()) == 1
    await service.peer.stop()
    service.clock.forward(hours=1)
    assert (await service.correct(payload=b"another")).created


async def test_a_correction_pins_its_payload_beyond_retention(service: Service) -> None:
    await service.record(*(prediction(prediction_id=name, payload=name.encode()) for name in ("kept", "gone")))
    await service.correct(prediction_id="kept")
    service.clock.forward(days=200)
    await service.monitoring.housekeeping.round()
    assert await service.payload("kept") == b"kept"
    (case,) = await service.cases()
    assert (case.model_version, len(service.objects())) == ("v1", 1)


async def test_cases_come_by_cursor(service: Service) -> None:
    for number in range(5):
        await service.correct(payload=b"%d" % number)
    assert [case.sequence for case in await service.cases(after=2)] == [3, 4, 5]
    assert [case.sequence for case in await service.cases(after=1, limit=2)] == [2, 3]
    assert not await service.cases(after=5)
    assert not await service.cases(after=(1 << 64) - 1)
    total = (await service.compare(service.clock.now + timedelta(hours=2))).corrections_total
    assert total == 5


async def test_packs_are_apart(service: Service) -> None:
    service.peer.manifests["invoices"] = {"task": "words"}
    await service.correct(payload=b"page", correction_id="c")
    assert (await service.correct(pack="invoices", payload=b"page", correction_id="c")).corrections == 1
    await service.stub.ForgetPack(pb.ForgetPackRequest(pack="invoices"))
    assert [case.correction_id for case in await service.cases()] == ["c"]
    assert await service.payload(digest=bytes_digest(b"page")) == b"page"
    request = pb.ListErrorCasesRequest(pack="invoices")
    assert not (await service.stub.ListErrorCases(request)).cases
