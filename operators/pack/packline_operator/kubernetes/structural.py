"""From a pydantic model to a structural schema: what a CustomResourceDefinition takes.

Such a schema has no references and no unions; a field that may be null says so, and every object's defaults reach its
fields only if the object itself has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packline_core.manifest_parts import RULES_KEY
from pydantic import BaseModel

_KEPT = (
    *("type", "description", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
    *("required", "format", RULES_KEY),
)


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a model.

    Raises:
        ValueError: It has something that a structural schema, or a Kubernetes spec, cannot hold.
    """
    raw = model.model_json_schema(by_alias=True)
    return _converted(raw, raw.get("$defs", {}), model.__name__)


def _converted(raw: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    schema = dict(raw)
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rsplit("/", 1)[1]], **schema}
    nullable = False
    if "anyOf" in schema:
        choices = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
        if len(choices) != 1:
            raise ValueError(f"{path}: a union of several types has no structural schema")
        inner = _converted(choices[0], definitions, path)
        # A null that means "left out" is pruned by the API server; it is a value only where the default is another.
        nullable = schema.get("default") is not None
        schema = {**inner, **schema}
    if schema.get("type") == "number":
        raise ValueError(f"{path}: a Kubernetes spec holds no floats")
    kept = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if nullable:
        kept["nullable"] = True
    if "properties" in schema:
        kept["properties"] = {
            name: _converted(part, definitions, f"{path}.{name}") for name, part in schema["properties"].items()
        }
    if isinstance(schema.get("items"), Mapping):
        kept["items"] = _converted(schema["items"], definitions, f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        kept["additionalProperties"] = _converted(schema["additionalProperties"], definitions, f"{path}{{}}")
    if kept.get("type") == "object" and not kept.get("required"):
        # The API server fills an empty default field by field, but holds it to the object's own rules before that.
        fields = (schema.get("default") or {}) if RULES_KEY in kept else {}
        kept["default"] = {name: value for name, value in fields.items() if value is not None}
    elif schema.get("default") is not None:
        kept["default"] = schema["default"]
    if "type" not in kept:
        raise ValueError(f"{path}: without a type")
    return {key: " ".join(value.split()) if key == "description" else value for key, value in kept.items()}
