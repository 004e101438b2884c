"""The typed model of a Pack's manifest: the one source for the command line's checks and for the CRD's schema.

`task` alone is enough; everything else has a default. A task's own part stands under the task's name
(`spec.ocr: {...}`) and is typed by the task (`Task.spec`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

import yaml
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from packline_core.errors import InvalidInput
from packline_core.task import get_task
from packline_core.units import Duration, Percent

API_VERSION = "packline.dev/v1alpha1"
KIND = "Pack"
# Applications of the fleet that are no Packs.
RESERVED_NAMES = frozenset({"packline-training", "packline-monitoring"})

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$")]
VersionName = Annotated[str, StringConstraints(pattern=r"^v[1-9][0-9]{0,8}$")]


def _checked_cron(text: str) -> str:
    try:
        CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{text!r} is no cron expression ({error}); write it like 0 3 * * 0") from None
    return text


Cron = Annotated[
    str, StringConstraints(pattern=r"^\S+ \S+ \S+ \S+ \S+$", max_length=100), AfterValidator(_checked_cron)
]


class Part(BaseModel):
    """A part of a manifest: unknown fields are errors, names are camelCase outside."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Model(Part):
    """Which model the Pack starts from."""

    base: str = Field("auto", max_length=63, description="A base model's name, or `auto`.")
    pin: VersionName | None = Field(None, description="Holds this version: no training, no rollout.")


class Data(Part):
    """Where labelled examples come from."""

    dataset: Name | None = Field(None, description="Filled by `packline import`; the Pack's name where left out.")
    source: str | None = Field(None, max_length=1024, description="A folder, or s3://bucket/prefix, to import from.")
    golden_share: Percent = Field("20%", description="Share of examples kept for judging, never trained on.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.dataset and self.source:
            raise ValueError("give dataset or source, not both")
        return self


class Objective(Part):
    """What the best model is."""

    metric: str | None = Field(None, max_length=63, description="A metric of the task; its first where left out.")
    max_latency_ms: int | None = Field(None, ge=1, le=600_000, description="Models slower than this are not chosen.")


class Budget(Part):
    """Bounds of one training run."""

    max_minutes: int = Field(30, ge=1, le=10_080)
    max_trials: int = Field(8, ge=1, le=1000)


class Triggers(Part):
    """What starts a training run by itself."""

    schedule: Cron | None = Field(None, description="Five cron fields, UTC.")
    corrections: int | None = Field(50, ge=1, le=1_000_000, description="New corrections since the last run.")
    drift: bool = Field(False, description="When monitoring sees the input change.")
    new_base: bool = Field(False, description="When the catalogue has a newer base model.")


class Training(Part):
    """How the Pack trains."""

    pool: Name = "default"
    budget: Budget = Budget()
    triggers: Triggers = Triggers()
    cooldown: Duration = Field("6h", description="Least time between the ends of two automatic runs.")


class Gate(Part):
    """The test that a candidate passes before any traffic."""

    enabled: bool = True
    min_improvement: Percent = Field("0.5%", description="Relative gain in error on new golden examples.")
    tolerance: Percent = Field("1%", description="How much worse, relative, the old ones may get.")
    min_golden: int = Field(30, ge=1, le=1_000_000)
    on_small_golden: Literal["shadow", "reject", "pass"] = Field(
        "shadow", description="With fewer golden examples: shadow and wait for approval, reject, or judge all the same."
    )


class Step(Part):
    """One step of a canary."""

    weight: int = Field(ge=1, le=99, description="Percent of the calls.")
    hold: Duration = "10m"


class Rollout(Part):
    """How a candidate that passed takes over."""

    shadow: Duration = "10m"
    steps: Annotated[tuple[Step, ...], Field(max_length=10)] = (Step(weight=10), Step(weight=50))
    min_requests: int = Field(200, ge=0, le=1_000_000_000, description="Calls to be seen before each step.")
    max_hold: Duration = Field("24h", description="After this long with too little traffic a condition says so.")
    max_error_rate: Percent = Field("1%", description="More errors than active by this much: rolled back.")
    max_latency_increase: Percent = Field("20%", description="Slower than active at p90 by more: rolled back.")
    min_agreement: Percent = Field("50%", description="In shadow, less agreement with active than this: rejected.")
    max_correction_increase: Percent = Field(
        "5%", description="Larger share of corrected answers than active by this much: rolled back."
    )
    watch: Duration = Field("30m", description="How long after a promotion a worse version is rolled back by itself.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        weights = [step.weight for step in self.steps]
        if weights != sorted(set(weights)):
            raise ValueError(f"steps: weights must rise from step to step, got {weights}")
        return self


class Replicas(Part):
    """How many replicas serve; 0 lets an idle Pack sleep."""

    min: int = Field(1, ge=0, le=1000)
    max: int = Field(1, ge=1, le=1000)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class Serving(Part):
    """Where and how the Pack serves."""

    pool: Name = "default"
    replicas: Replicas = Replicas()
    max_queue: int = Field(64, ge=1, le=100_000, description="Calls that may wait in a replica; more are refused.")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of a replica; 0 means all that its node has.")


class Recording(Part):
    """What monitoring keeps."""

    payload_share: Percent = Field("100%", description="Share of calls whose payload and answer are kept.")
    retention: Duration = Field("30d", description="How long payloads without a correction are kept.")


class PackSpec(BaseModel):
    """What a Pack is to be."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, populate_by_name=True)

    task: Annotated[str, StringConstraints(min_length=1, max_length=63)]
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
    """Checks one manifest.

    Args:
        raw: What YAML or JSON gave, or JSON text.

    Raises:
        InvalidInput: Naming every wrong field, with `field` set to the first.
    """
    try:
        pack = Pack.model_validate_json(raw) if isinstance(raw, str | bytes) else Pack.model_validate(raw)
    except ValidationError as error:
        raise _refused(error, ()) from None
    if pack.name in RESERVED_NAMES:
        raise InvalidInput(f"metadata.name: {pack.name!r} is a name of Packline's own", field="metadata.name")
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


def _check_task_part(pack: Pack) -> Pack:
    spec, extra = pack.spec, dict(pack.spec.model_extra or {})
    unknown = sorted(set(extra) - {spec.task})
    if unknown:
        raise InvalidInput(f"spec.{unknown[0]}: unknown field", reason="INVALID_MANIFEST", field=f"spec.{unknown[0]}")
    task = get_task(spec.task)
    try:
        task.spec.model_validate(extra.get(spec.task) or {})
    except ValidationError as error:
        raise _refused(error, ("spec", spec.task)) from None
    names = [base.name for base in task.bases]
    if spec.model.base not in {"auto", *names}:
        raise InvalidInput(
            f"spec.model.base: {spec.model.base!r} is not in the catalogue of task {spec.task}; "
            f"choose auto, {', '.join(names)}",
            reason="INVALID_MANIFEST",
            field="spec.model.base",
        )
    metrics = [metric.name for metric in task.metrics]
    if spec.objective.metric not in {None, *metrics}:
        raise InvalidInput(
            f"spec.objective.metric: {spec.objective.metric!r} is no metric of task {spec.task}; "
            f"choose {', '.join(metrics)}",
            reason="INVALID_MANIFEST",
            field="spec.objective.metric",
        )
    return pack


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
