"""The chart's CRD is the one that the typed manifest gives, and one that a control plane takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from packline_core.manifest_parts import RULES_KEY
from packline_operator.kubernetes.crd import SHIPPED, crd, to_yaml
from packline_operator.kubernetes.structural import structural
from pydantic import BaseModel

ROOT = Path(__file__).parents[4]
_SCHEMA = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from fields(part, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            yield from fields(schema[key], f"{path}[]")


def test_the_charts_file_is_current() -> None:
    found = (ROOT / "charts/packline/crds/packs.packline.dev.yaml").read_text("utf8")
    assert found == to_yaml(crd()), "python -m packline_operator.kubernetes.crd > charts/packline/crds/…"


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_described(part: str) -> None:
    undescribed = [path for path, schema in fields(_SCHEMA["properties"][part], part) if not schema.get("description")]
    assert undescribed == []


def test_a_spec_holds_no_floats_and_no_field_without_a_type() -> None:
    kinds = {path: schema["type"] for path, schema in fields(_SCHEMA["properties"]["spec"], "spec")}
    assert set(kinds.values()) <= {"object", "array", "string", "integer", "boolean"}
    assert kinds["spec.serving.gpus"] == "string"


def test_shipped_tasks_have_their_parts_and_no_other() -> None:
    properties = _SCHEMA["properties"]["spec"]["properties"]
    assert properties["task"]["enum"] == list(SHIPPED)
    assert set(SHIPPED) <= set(properties) and "echo" not in properties
    assert (
        "echo" in crd(("echo",))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    )


def test_null_is_a_value_only_where_it_means_something() -> None:
    nullable = [path for path, schema in fields(_SCHEMA["properties"]["spec"], "spec") if schema.get("nullable")]
    assert nullable == ["spec.training.triggers.corrections"]


def test_rules_stand_by_their_fields() -> None:
    ruled = {path for path, schema in fields(_SCHEMA, "") if RULES_KEY in schema}
    assert ruled == {
        *(".spec", ".spec.task", ".spec.data", ".spec.rollout.steps", ".spec.serving.replicas"),
        ".spec.training.triggers.schedule",
    }


def test_what_a_structural_schema_cannot_hold_is_refused_by_name() -> None:
    class Union(BaseModel):
        either: int | str

    class Float(BaseModel):
        share: float

    with pytest.raises(ValueError, match=r"Union\.either: a union"):
        structural(Union)
    with pytest.raises(ValueError, match=r"Float\.share: .*no floats"):
        structural(Float)
