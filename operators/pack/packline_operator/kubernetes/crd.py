"""The CustomResourceDefinition `packs.packline.dev`, generated from the typed model of the manifest.

`python -m packline_operator.kubernetes.crd` prints it. The API server thus refuses what `packline apply` refuses, with
two differences in keeping: it writes defaults into the object, as for every type of Kubernetes, so a Pack keeps those
it was applied with, while a machine keeps the file as given; and of the tasks it knows those that are shipped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from packline_core.manifest import KIND, RESERVED_NAMES, PackSpec
from packline_core.manifest_parts import NAME_PATTERN, RULES_KEY
from packline_core.task import Task, get_task

from packline_operator.kubernetes.status_schema import STATUS
from packline_operator.kubernetes.structural import structural

GROUP, VERSION, PLURAL = "packline.dev", "v1alpha1", "packs"
SHIPPED = ("ocr", "recommendation")
_COLUMNS = (
    ("Task", "string", ".spec.task"),
    ("Active", "string", ".status.active"),
    ("Candidate", "string", ".status.candidate"),
    ("Traffic", "string", ".status.traffic"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Why", "string", ".status.why"),
    ("Age", "date", ".metadata.creationTimestamp"),
)


def crd(tasks: Sequence[str] = SHIPPED) -> dict[str, Any]:
    """The definition, with the parts of these tasks.

    Raises:
        NotFound: A task is not installed.
    """
    columns = [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS]
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _pack([get_task(name) for name in sorted(tasks)])},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    names = {"kind": KIND, "listKind": "PackList", "plural": PLURAL, "singular": "pack"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "shortNames": ["pk"], "categories": ["ml"]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def to_yaml(definition: dict[str, Any]) -> str:
    """As the chart holds it."""
    head = "# Generated: python -m packline_operator.kubernetes.crd > charts/packline/crds/packs.packline.dev.yaml\n"
    return head + yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=110)


def _pack(tasks: Sequence[Task]) -> dict[str, Any]:
    reserved = ", ".join(f"'{name}'" for name in sorted(RESERVED_NAMES))
    return {
        "type": "object",
        "description": "A Pack is one AI task and all the work that keeps its model good.",
        "required": ["spec"],
        RULES_KEY: [
            {"rule": f"!(self.metadata.name in [{reserved}])", "message": "metadata.name is a name of Packline's own"},
        ],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": KIND},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "pattern": NAME_PATTERN, "maxLength": 53}},
            },
            "spec": _spec(tasks),
            "status": STATUS,
        },
    }


def _spec(tasks: Sequence[Task]) -> dict[str, Any]:
    schema = structural(PackSpec)
    properties = schema["properties"]
    properties["task"] = {
        "type": "string",
        "description": properties["task"]["description"],
        "enum": [task.name for task in tasks],
        RULES_KEY: [
            {
                "rule": "self == oldSelf",
                "message": "task cannot be changed; delete the Pack first, or apply it under another name",
            }
        ],
    }
    for task in tasks:
        part = structural(task.spec)
        # A default would give every Pack every task's part.
        part.pop("default", None)
        part["description"] = f"Only for task {task.name}. {part.get('description', '')}".strip()
        properties[task.name] = part
    schema[RULES_KEY] = [*schema.get(RULES_KEY, []), *(rule for task in tasks for rule in _rules(task))]
    return schema


def _rules(task: Task) -> Iterator[dict[str, Any]]:
    """Only the part that the task names, and only what its catalogue has."""
    name = task.name
    bases, metrics = ["auto", *(base.name for base in task.bases)], [metric.name for metric in task.metrics]
    yield {
        "rule": f"self.task == '{name}' || !has(self.{name})",
        "message": f"{name} is a part of task {name} alone",
        "fieldPath": f".{name}",
    }
    yield {
        "rule": f"self.task != '{name}' || self.model.base in {bases}",
        "message": f"base is not in the catalogue of task {name}; choose {', '.join(bases)}",
        "fieldPath": ".model.base",
    }
    yield {
        "rule": f"self.task != '{name}' || !has(self.objective.metric) || self.objective.metric in {metrics}",
        "message": f"metric is none of task {name}; choose {', '.join(metrics)}",
        "fieldPath": ".objective.metric",
    }


if __name__ == "__main__":
    sys.stdout.write(to_yaml(crd()))
