import pytest
from packline_core.errors import InvalidInput
from packline_core.manifest import parse_pack


def with_schedule(schedule: str) -> object:
    spec = {"task": "echo", "training": {"triggers": {"schedule": schedule}}}
    return {"apiVersion": "packline.dev/v1alpha1", "kind": "Pack", "metadata": {"name": "p"}, "spec": spec}


@pytest.mark.parametrize("schedule", ["99 * * * *", "a b c d e", "0 3 * *", "* * * * * *", "@daily"])
def test_what_is_no_schedule_is_refused_by_its_field(schedule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_pack(with_schedule(schedule))
    assert caught.value.field == "spec.training.triggers.schedule"


@pytest.mark.parametrize("schedule", ["0 3 * * 0", "*/15 8-18 * * MON-FRI", "0 0 L * *"])
def test_schedules(schedule: str) -> None:
    assert parse_pack(with_schedule(schedule)).spec.training.triggers.schedule == schedule
