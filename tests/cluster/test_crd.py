"""The API server takes and refuses the manifests that `packline apply` takes and refuses, and says which field."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packline_core.errors import PacklineError
from packline_core.manifest import parse_pack
from packline_operator.kubernetes.api import Api

from tests.cluster.bed import Bed, CommandFailed
from tests.cluster.packs import api_of, install_crd, manifest, refusal

pytestmark = [pytest.mark.cluster]

_DURATIONS = ["0s", "10m", "1d12h", "99999999d", "", "5", "1.5h", "-1m", "5m5h", "999999999d", "1d1d", 10, None]
_PERCENTS = ["0%", "0.5%", "100%", "100.0%", "101%", "100.1%", "1e1%", "5", "-1%", "0.1234%", 0.5, None]
_COUNTS = [0, 1, 2, 5.0, 1.5, -1, "5", True, None, 10**20, 1000, 1001]
_NAMES = ["a", "a-b", "A", "-a", "a-", "", "a" * 53, "a" * 54, "a.b", 3, None]
_FLAGS = [True, False, "yes", "true", 1, 0, None]
_SCHEDULES = [
    *("0 3 * * 0", "*/15 8-18 * * MON-FRI", "0 0 L * *", "0 0 30 4 *", "0 0 31 feb-mar *", "0 0 * * 5L,1#2"),
    *("99 * * * *", "a b c d e", "0 3 * *", "* * * * * *", "@daily", "", "0 0 30 2 *", "0 0 31 4,SEP *"),
    *("0 0 1 1 FRI-MON", "0 18-8 * * *", "0  3 * * 0", "0 3 * * 0 ", "5-5 * * * *", 5, None),
]
# Path below spec -> what may stand there, good and bad.
VALUES: dict[str, list[Any]] = {
    "task": ["echo", "ocr", "recommendation", "search", "", 1, None],
    "model": [{}, None, [], "auto", {"base": "auto", "pins": "v1"}],
    "model.base": ["auto", "identity", "fast", "none such", "", "x" * 64, 1, None],
    "model.pin": ["v1", "v12", "v0", "1", "v", "v1234567890", None],
    "data.dataset": _NAMES,
    "data.source": ["s3://bucket/x", "", "x" * 1024, "x" * 1025, None],
    "data.goldenShare": _PERCENTS,
    "objective.metric": ["cer", "error", "none such", "", None],
    "objective.maxLatencyMs": _COUNTS,
    "training.pool": _NAMES,
    "training.budget": [{"maxMinutes": 1, "maxTrials": 1000}, {"maxTrials": 1001}, {"maxHours": 1}, None],
    "training.triggers.schedule": _SCHEDULES,
    "training.triggers.corrections": _COUNTS,
    "training.triggers.drift": _FLAGS,
    "training.cooldown": _DURATIONS,
    "gate.onSmallGolden": ["shadow", "reject", "pass", "Pass", "", None],
    "gate.minGolden": _COUNTS,
    "gate.tolerance": _PERCENTS,
    "rollout.shadow": _DURATIONS,
    "rollout.steps": [
        *([], [{"weight": 10}], [{"weight": 10, "hold": None}, {"weight": 50}], [{"weight": 1}, {"weight": 99}]),
        *([{"weight": 50}, {"weight": 10}], [{"weight": 10}, {"weight": 10}], [{"weight": 0}], [{"weight": 100}]),
        *([{}], [None], [{"weight": 10, "for": "1m"}], [{"weight": n} for n in range(1, 12)], {}, None),
    ],
    "rollout.minAgreement": _PERCENTS,
    "serving.pool": _NAMES,
    "serving.gpus": ["0", "0.25", "1", "16", "1.5", "0.00001", "01", "", "half", 1, 0.5, None],
    "serving.replicas": [{"min": 0}, {"min": 2}, {"min": 2, "max": 2}, {"max": 0}, {"min": 3, "max": 2}, None],
    "serving.threads": _COUNTS,
    "recording.payloadShare": _PERCENTS,
    "paused": _FLAGS,
    "ocr": [{}, {"maxPages": 5}, {"maxPages": 0}, {"pages": 5}, [], None],
    "echo": [{}, {"x": 1}, None],
    "recommendation": [{}, {"repeats": True}, {"repeats": "no"}, None],
    "unknown": [{}, None],
    "max_queue": [5],
}


@pytest.fixture(scope="module")
def api(cluster: Bed) -> Api:
    install_crd(cluster, "echo")
    return api_of(cluster)


def with_values(values: dict[str, Any]) -> dict[str, Any]:
    pack = manifest()
    for path, value in values.items():
        *parents, last = path.split(".")
        part = pack["spec"]
        for name in parents:
            below = part.get(name)
            part[name] = below if isinstance(below, dict) else {}
            part = part[name]
        part[last] = copy.deepcopy(value)
    return pack


def check(api: Api, pack: dict[str, Any], *fields: str) -> None:
    """Both take it, or both refuse it, and each names one of `fields`, whichever it looks at first."""
    refused, words = refusal(api, pack), ""
    try:
        parse_pack(pack)
    except PacklineError as error:
        words = error.message
    assert bool(refused) == bool(words), f"command line: {words or 'takes it'}\nAPI server: {refused or 'takes it'}"
    for told in (refused, words) if refused else ():
        assert any(name in told for name in fields), f"none of {fields} is named: {told}"


@pytest.mark.parametrize("path", VALUES)
def test_each_value_alone(api: Api, path: str) -> None:
    for value in VALUES[path]:
        check(api, with_values({path: value}), "task", *path.split(".")[-2:])


@given(
    st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=4, unique=True).flatmap(
        lambda paths: st.fixed_dictionaries({path: st.sampled_from(VALUES[path]) for path in sorted(paths)})
    )
)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_values_together(api: Api, values: dict[str, Any]) -> None:
    check(api, with_values(values), "task", *(name for path in values for name in path.split(".")))


@pytest.mark.parametrize("name", [*_NAMES, "packline-training", "packline-monitoring"])
def test_names(api: Api, name: Any) -> None:
    check(api, {**manifest(), "metadata": {"name": name}}, "metadata.name", "name")


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"task": "search"}, "spec.task", "Unsupported value"),
        ({"model.base": "none such", "task": "ocr"}, "spec.model.base", "choose auto, accurate, fast"),
        ({"objective.metric": "none such", "task": "ocr"}, "spec.objective.metric", "none of task ocr; choose cer"),
        ({"ocr": {}}, "spec.ocr", "a part of task ocr alone"),
        ({"data.dataset": "a", "data.source": "b"}, "spec.data", "give dataset or source, not both"),
        ({"serving.replicas": {"min": 2}}, "spec.serving.replicas", "min is above max"),
        ({"rollout.steps": [{"weight": 9}, {"weight": 9}]}, "spec.rollout.steps", "weights must rise"),
        ({"training.triggers.schedule": "daily"}, "spec.training.triggers.schedule", "write five cron fields"),
        ({"serving.gpu": "1"}, "spec.serving.gpu", "unknown field"),
    ],
)
def test_a_refusal_names_the_field_and_says_what_to_do(
    cluster: Bed, api: Api, values: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(CommandFailed) as caught:
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(with_values(values)))
    assert field in caught.value.stderr and words in caught.value.stderr


def test_a_task_cannot_be_changed(cluster: Bed, api: Api, namespace: str) -> None:
    cluster.apply(manifest("a", namespace))
    with pytest.raises(
        CommandFailed, match=r"spec.task: Invalid value: .*task cannot be changed; delete the Pack first"
    ):
        cluster.apply(manifest("a", namespace, task="ocr"))


def test_defaults_are_written_in_and_null_switches_off(cluster: Bed, api: Api, namespace: str) -> None:
    off = {"triggers": {"corrections": None}}
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest("a", namespace, training=off)))
    stored = cluster.get("pk", "a", "-n", namespace)
    spec = stored["spec"]
    assert spec["rollout"]["steps"] == [{"weight": 10, "hold": "10m"}, {"weight": 50, "hold": "10m"}]
    assert spec["training"]["triggers"]["corrections"] is None
    given_ = parse_pack(manifest("a", namespace, training=off))
    assert parse_pack(stored).spec == given_.spec, "the defaults of both are the same"


def test_it_is_found_under_its_short_name_and_category(cluster: Bed, api: Api, namespace: str) -> None:
    cluster.kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest("a", namespace)))
    columns = cluster.kubectl("get", "pk", "-n", namespace).splitlines()[0].split()
    assert columns == ["NAME", "TASK", "ACTIVE", "CANDIDATE", "TRAFFIC", "READY", "WHY", "AGE"]
    assert "pack.packline.dev/a" in cluster.kubectl("get", "ml", "-n", namespace, "-o", "name")


def test_explain_reads_well(cluster: Bed, api: Api) -> None:
    told = cluster.kubectl("explain", "pack.spec.rollout")
    assert "minRequests\t<integer>" in told and "Calls to be seen before each step." in told
