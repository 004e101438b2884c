"""The typed model of a Pack's manifest: the one source for the command line's checks and for the CRD's schema.

`task` alone is enough; everything else has a default. A task's own part stands under the task's name
(`spec.ocr: {...}`) and is typed by the task (`Task.spec`).
"""

from __future__ import annotations

import json
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from packline_core.errors import InvalidInput
from packline_core.manifest_parts import (
    Data,
    Gate,
    Model,
    Name,
    Objective,
    Part,
    Recording,
    Rollout,
    Serving,
    Step,
    Training,
)
from packline_core.task import Rewarding, get_task, task_names

__all__ = [
    "API_VERSION",
    "KIND",
    "RESERVED_NAMES",
    "Metadata",
    "Pack",
    "PackSpec",
    "Part",
    "Recording",
    "Rollout",
    "Step",
    "parse_pack",
    "parse_packs",
]
API_VERSION = "packline.dev/v1alpha1"
KIND = "Pack"
# Applications of the fleet that are no Packs.
RESERVED_NAMES = frozenset({"packline-training", "packline-monitoring"})
_KNOWN = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})
# Kubernetes' ObjectMeta.
_KNOWN_METADATA = frozenset(
    {
        *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "selfLink"),
        *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields"),
        "deletionGracePeriodSeconds",
    }
)
_M = TypeVar("_M", bound=BaseModel)


class PackSpec(Part):
    """What a Pack is to be."""

    model_config = ConfigDict(extra="allow")

    task: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="What it does; cannot be changed once applied."
    )
    model: Model = Model()
    data: Data = Data()
    objective: Objective = Objective()
    training: Training = Training()
    gate: Gate = Gate()
    rollout: Rollout = Rollout()
    serving: Serving = Serving()
    recording: Recording = Recording()
    paused: bool = Field(False, description="Serve on, but train and roll out nothing.")

    @property
    def rules(self) -> Rollout:
        """The rollout, with what it leaves to the task: a better list of recommendations may have little in common with
        the one before, so that agreement is no sign of health where truths say what users take.
        """
        if self.rollout.min_agreement is not None:
            return self.rollout
        least = "0%" if isinstance(get_task(self.task), Rewarding) else "50%"
        return self.rollout.model_copy(update={"min_agreement": least})

    @property
    def options(self) -> dict[str, Any]:
        """The task's own part, validated, as plain values."""
        return dict((self.model_extra or {}).get(self.task) or {})


class Metadata(BaseModel):
    """A Pack's name. Other fields of Kubernetes' metadata are let through."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Name


class Pack(BaseModel):
    """A Pack's manifest."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    apiVersion: Literal["packline.dev/v1alpha1"]  # noqa: N815 - Kubernetes' own spelling
    kind: Literal["Pack"]
    metadata: Metadata
    spec: PackSpec

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name

    def to_json(self) -> str:
        """The manifest as given, without defaults, so that later defaults reach old Packs."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)


def parse_pack(raw: Any) -> Pack:
    """Checks one manifest, as Kubernetes' API server does: a number is no text, and what is empty counts as left out.

    Args:
        raw: What YAML or JSON gave, or JSON text.

    Raises:
        InvalidInput: Naming every wrong field, with `field` set to the first.
    """
    plain = _plain(raw)
    if isinstance(plain, dict):
        for where, found, known in (("", plain, _KNOWN), ("metadata.", plain.get("metadata"), _KNOWN_METADATA)):
            for name in sorted(set(found) - known) if isinstance(found, dict) else ():
                _refuse(f"{where}{name}", "unknown field")
    pack = _checked(Pack, plain, ())
    if pack.name in RESERVED_NAMES:
        _refuse("metadata.name", f"{pack.name!r} is a name of Packline's own")
    return _check_task_part(pack)


def parse_packs(text: str) -> list[Pack]:
    """Checks a YAML file of one or more manifests."""
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInput(f"not YAML: {error}", reason="NOT_YAML") from None
    if not documents:
        raise InvalidInput("the file holds no manifest", reason="EMPTY_MANIFEST")
    return [parse_pack(document) for document in documents]


def _plain(raw: Any) -> Any:
    """The values of JSON, so that YAML, JSON and Python are checked alike; 5.0 is the whole number 5 in all of them."""
    try:
        text = raw if isinstance(raw, str | bytes) else json.dumps(raw, default=str)
        return json.loads(text, parse_float=lambda number: int(float(number)) if _whole(number) else float(number))
    except ValueError as error:
        raise InvalidInput(f"the manifest is not JSON: {error}", reason="NOT_JSON") from None


def _whole(number: str) -> bool:
    return float(number).is_integer()


def _checked(model: type[_M], plain: Any, prefix: tuple[str, ...]) -> _M:
    text = json.dumps(_without_empty(plain, model))
    try:
        return model.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _refused(error, prefix) from None


def _without_empty(plain: Any, annotation: Any) -> Any:
    """`model:` with nothing behind it is as if left out, except where null is a value: Kubernetes takes it so."""
    inner = next((arg for arg in get_args(annotation) if _is_part(arg)), None)
    if inner is not None and isinstance(plain, list):
        return [_without_empty(item, inner) for item in plain]
    if not _is_part(annotation) or not isinstance(plain, dict):
        return plain
    kinds = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
    return {
        key: _without_empty(value, kinds.get(key))
        for key, value in plain.items()
        if value is not None or key not in kinds or NoneType in get_args(kinds[key])
    }


def _is_part(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _check_task_part(pack: Pack) -> Pack:
    spec, extra = pack.spec, dict(pack.spec.model_extra or {})
    for name in sorted(set(extra) - {spec.task}):
        if name not in task_names() or extra[name] is not None:
            words = f"a part of another task than {spec.task}" if name in task_names() else "unknown field"
            _refuse(f"spec.{name}", words)
    task = get_task(spec.task)
    part = extra.get(spec.task)
    _checked(task.spec, {} if part is None else part, ("spec", spec.task))
    names = [base.name for base in task.bases]
    if spec.model.base not in {"auto", *names}:
        words = f"{spec.model.base!r} is not in the catalogue of task {spec.task}; choose auto, {', '.join(names)}"
        _refuse("spec.model.base", words)
    metrics = [metric.name for metric in task.metrics]
    if spec.objective.metric not in {None, *metrics}:
        words = f"{spec.objective.metric!r} is no metric of task {spec.task}; choose {', '.join(metrics)}"
        _refuse("spec.objective.metric", words)
    return pack


def _refuse(field: str, words: str) -> NoReturn:
    raise InvalidInput(f"{field}: {words}", reason="INVALID_MANIFEST", field=field)


def _refused(error: ValidationError, prefix: tuple[str, ...]) -> InvalidInput:
    problems = []
    for problem in error.errors():
        path = ""
        for part in (*prefix, *problem["loc"]):
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        words = problem["msg"].removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown field")
        problems.append((path or "manifest", words))
    text = "; ".join(f"{path}: {words}" for path, words in problems)
    return InvalidInput(text, reason="INVALID_MANIFEST", field=problems[0][0])
