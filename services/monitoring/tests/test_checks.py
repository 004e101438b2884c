"""What is acceptable, and what is put right rather than refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from packline_core.errors import InvalidInput
from packline_monitoring.checks import check_correction, check_predictions, check_traces
from packline_monitoring.domain import Correction, Prediction, Traces

NOW = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def made(**fields: Any) -> Prediction:
    return Prediction(**{"prediction_id": "p", "pack": "a", "model_version": "v1", "at": NOW, "latency": 0.1, **fields})


def test_a_prediction_as_it_should_be_is_left_as_it_is() -> None:
    given = made(signals={"confidence": 0.5}, payload=b"x", answer_json="[]", agreement=1.0)
    assert check_predictions([given], NOW)[0] is given


def test_numbers_that_would_spoil_a_mean_are_left_out() -> None:
    signals = {"nan": float("nan"), "inf": float("inf"), "": 1.0, "fine": 2.0}
    (clean,) = check_predictions([made(signals=signals, latency=-1.0, agreement=float("nan"))], NOW)
    assert (dict(clean.signals), clean.latency, clean.agreement) == ({"fine": 2.0}, 0.0, 0.0)


def test_a_clock_that_runs_ahead_is_put_back_and_a_little_is_let_through() -> None:
    far, near = check_predictions(
        [made(prediction_id="1", at=NOW + timedelta(days=9)), made(prediction_id="2", at=NOW + timedelta(seconds=9))],
        NOW,
    )
    assert (far.at, near.at) == (NOW, NOW + timedelta(seconds=9))


def test_a_repeat_within_a_batch_counts_once_and_packs_are_apart() -> None:
    assert len(check_predictions([made(), made(code=13), made(pack="b")], NOW)) == 2


def test_an_answer_goes_with_its_payload() -> None:
    assert check_predictions([made(answer_json="[1]")], NOW)[0].answer_json == ""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"pack": "No Pack"}, "predictions[0].pack"),
        ({"prediction_id": ""}, "predictions[0].prediction_id"),
        ({"prediction_id": "x" * 201}, "predictions[0].prediction_id"),
        ({"model_version": "a\0b"}, "predictions[0].model_version"),
        ({"shadow_of": "\n"}, "predictions[0].shadow_of"),
        ({"code": 17}, "predictions[0].code"),
        ({"answer_json": "\0"}, "predictions[0].answer_json"),
    ],
)
def test_what_can_never_be_recorded_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_predictions([made(**fields)], NOW)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"pack": ""}, "pack"),
        ({"correction_id": ""}, "correction_id"),
        ({"prediction_id": "", "payload": b""}, "prediction_id"),
        ({"truth_json": ""}, "truth_json"),
        ({"truth_json": "x" * (5 << 20)}, "truth_json"),
        ({"page": 1 << 31}, "page"),
    ],
)
def test_what_no_task_could_learn_from_is_named(fields: dict[str, Any], field: str) -> None:
    given = {"pack": "a", "correction_id": "c", "truth_json": "[]", "prediction_id": "p", **fields}
    with pytest.raises(InvalidInput) as refused:
        check_correction(Correction(**given))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("traces", "field"),
    [
        (Traces("a"), "prediction_id"),
        (Traces("a", "p", "sha256:" + "0" * 64), "prediction_id"),
        (Traces("a", digest="sha256:../../etc"), "payload_digest"),
    ],
)
def test_an_erasure_names_one_thing(traces: Traces, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_traces(traces)
    assert refused.value.field == field
