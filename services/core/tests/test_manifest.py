import pytest
from packline_core.errors import InvalidInput
from packline_core.manifest import parse_pack


def manifest(**spec: object) -> dict[str, object]:
    whole = {"task": "echo"} | spec
    return {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "p"}, "spec": whole}


def with_schedule(schedule: str) -> object:
    return manifest(training={"triggers": {"schedule": schedule}})


@pytest.mark.parametrize("schedule", ["99 * * * *", "a b c d e", "0 3 * *", "* * * * * *", "@daily"])
def test_what_is_no_schedule_is_refused_by_its_field(schedule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_pack(with_schedule(schedule))
    assert caught.value.field == "spec.training.triggers.schedule"


@pytest.mark.parametrize("schedule", ["0 3 * * 0", "*/15 8-18 * * MON-FRI", "0 0 L * *"])
def test_schedules(schedule: str) -> None:
    assert parse_pack(with_schedule(schedule)).spec.training.triggers.schedule == schedule


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (manifest(paused="yes"), "spec.paused"),
        (manifest(serving={"replicas": {"max": "2"}}), "spec.serving.replicas.max"),
        (manifest(serving={"max_queue": 3}), "spec.serving.max_queue"),
        (manifest(gate={"minGolden": True}), "spec.gate.minGolden"),
        (manifest(gate={"minGolden": 1.5}), "spec.gate.minGolden"),
        (manifest(echo=[]), "spec.echo"),
        (manifest(ocr={}), "spec.ocr"),
        (manifest(nothing=None), "spec.nothing"),
        (manifest(data={"source": ""}), "spec.data.source"),
        (manifest() | {"specs": {}}, "specs"),
        (manifest() | {"metadata": {"name": "p", "lables": {}}}, "metadata.lables"),
        (manifest() | {"metadata": {"name": "packline-training"}}, "metadata.name"),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_by_its_field(raw: object, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_pack(raw)
    assert caught.value.field == field


def test_what_is_left_empty_is_as_if_left_out() -> None:
    pack = parse_pack(
        manifest(model=None, echo=None, rollout={"steps": [{"weight": 5.0, "hold": None}], "watch": None})
    )
    assert pack.spec.rollout.steps[0].hold == "10m"
    assert pack.spec.model_dump(by_alias=True, exclude_unset=True)["rollout"] == {"steps": ({"weight": 5},)}


def test_a_shadow_is_to_agree_by_half_unless_said_otherwise() -> None:
    assert parse_pack(manifest()).spec.rules.min_agreement == "50%"
    assert parse_pack(manifest(rollout={"minAgreement": "20%"})).spec.rules.min_agreement == "20%"
    assert "minAgreement" not in parse_pack(manifest()).to_json()


def test_null_switches_a_trigger_off_and_is_kept() -> None:
    pack = parse_pack(manifest(training={"triggers": {"corrections": None}}))
    assert parse_pack(pack.to_json()).spec.training.triggers.corrections is None
