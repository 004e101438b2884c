"""The parts of a Pack's manifest, field by field.

Whatever is checked here is checked alike by Kubernetes' API server, since the CRD's schema is generated from these
classes: bounds and patterns as they stand, and beside each validator the CEL rule that says the same.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from packline_core import cron
from packline_core.units import Duration, Gpus, Percent

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
VersionName = Annotated[str, StringConstraints(pattern=r"^v[1-9][0-9]{0,8}$")]
RULES_KEY = "x-kubernetes-validations"
Cron = Annotated[
    str,
    AfterValidator(cron.check_schedule),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": cron.MAX_LENGTH, RULES_KEY: list(cron.RULES)}),
]


def cel(rule: str, message: str, **more: str) -> dict[str, Any]:
    """What a validator says, for the API server: a part of the JSON schema."""
    return {RULES_KEY: [{"rule": rule, "message": message, **more}]}


class Part(BaseModel):
    """A part of a manifest: unknown fields are errors, names are camelCase outside."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Model(Part):
    """Which model the Pack starts from."""

    base: str = Field("auto", max_length=63, description="A base model's name, or `auto`.")
    pin: VersionName | None = Field(None, description="Holds this version, such as v3: no training, no rollout.")


class Data(Part):
    """Where labelled examples come from."""

    model_config = ConfigDict(
        json_schema_extra=cel("!has(self.dataset) || !has(self.source)", "give dataset or source, not both")
    )

    dataset: Name | None = Field(None, description="Filled by `packline import`; the Pack's name where left out.")
    source: str | None = Field(
        None, min_length=1, max_length=1024, description="A folder, or s3://bucket/prefix, to import from."
    )
    golden_share: Percent = Field("20%", description="Share of examples kept for judging, never trained on.")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.dataset is not None and self.source is not None:
            raise ValueError("give dataset or source, not both")
        return self


class Objective(Part):
    """What the best model is."""

    metric: str | None = Field(None, max_length=63, description="A metric of the task; its first where left out.")
    max_latency_ms: int | None = Field(
        None,
        ge=1,
        le=600_000,
        description="Models slower than so many milliseconds are not chosen; nine of ten calls within it are fast "
        "enough, whatever the version before took.",
    )


class Budget(Part):
    """Bounds of one training run."""

    max_minutes: int = Field(30, ge=1, le=10_080, description="Minutes after which it ends with what it has.")
    max_trials: int = Field(8, ge=1, le=1000, description="Sets of training parameters that it tries at most.")


class Triggers(Part):
    """What starts a training run by itself."""

    schedule: Cron | None = Field(None, description="Five cron fields, UTC, such as 0 3 * * 0 for Sundays at 3.")
    corrections: int | None = Field(
        50, ge=0, le=1_000_000, description="New corrections since the last run; 0 or null means never."
    )
    drift: bool = Field(False, description="When monitoring sees the input change.")
    new_base: bool = Field(False, description="When the catalogue has a newer base model.")


class Training(Part):
    """How the Pack trains."""

    pool: Name = Field("default", description="The pool of nodes on which it trains.")
    budget: Budget = Budget()
    triggers: Triggers = Triggers()
    cooldown: Duration = Field("6h", description="Least time between the ends of two automatic runs.")


class Gate(Part):
    """The test that a candidate passes before any traffic."""

    enabled: bool = Field(True, description="Whether there is a gate; without one every new version is rolled out.")
    min_improvement: Percent = Field("0.5%", description="Relative gain in error on new golden examples.")
    tolerance: Percent = Field("1%", description="How much worse, relative, the old ones may get.")
    min_golden: int = Field(30, ge=1, le=1_000_000, description="Golden examples that a judgement takes.")
    on_small_golden: Literal["shadow", "reject", "pass"] = Field(
        "shadow", description="With fewer golden examples: shadow and wait for approval, reject, or judge all the same."
    )


class Step(Part):
    """One step of a canary."""

    weight: int = Field(ge=1, le=99, description="Percent of the calls that the candidate answers.")
    hold: Duration = Field("10m", description="How long this step lasts at least.")


class Rollout(Part):
    """How a candidate that passed takes over."""

    shadow: Duration = Field("10m", description="How long it gets copies of calls before it answers any.")
    steps: Annotated[
        tuple[Step, ...],
        Field(
            max_length=10,
            description="Its rising shares of the calls.",
            json_schema_extra=cel(
                "self.map(s, s.weight).isSorted() && self.all(a, self.exists_one(b, b.weight == a.weight))",
                "weights must rise from step to step",
            ),
        ),
    ] = (Step(weight=10), Step(weight=50))
    min_requests: int = Field(200, ge=0, le=1_000_000_000, description="Calls to be seen before each step.")
    max_hold: Duration = Field("24h", description="After this long with too little traffic a condition says so.")
    max_error_rate: Percent = Field("1%", description="More errors than active by this much: rolled back.")
    max_latency_increase: Percent = Field(
        "20%", description="Slower than active at p90 by more, and than maxLatencyMs: rolled back."
    )
    min_agreement: Percent | None = Field(
        None,
        description="In shadow, less agreement with active than this: rejected. Where left out 50%, or 0% for tasks "
        "whose answers may well differ, such as recommendation.",
    )
    max_correction_increase: Percent = Field(
        "5%",
        description="Larger share of corrected answers than active by this much, or, where users take what is "
        "recommended, a share of answers taken up that is smaller by this much of active's: rolled back.",
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

    model_config = ConfigDict(json_schema_extra=cel("self.min <= self.max", "min is above max"))

    min: int = Field(1, ge=0, le=1000, description="Replicas without any load.")
    max: int = Field(1, ge=1, le=1000, description="Replicas under full load.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class Serving(Part):
    """Where and how the Pack serves."""

    pool: Name = Field("default", description="The pool of nodes on which it serves.")
    gpus: Gpus = Field("0", description='GPUs of each replica: whole ones, or a share of one such as "0.25".')
    replicas: Replicas = Replicas()
    max_queue: int = Field(64, ge=1, le=100_000, description="Calls that may wait in a replica; more are refused.")
    threads: int = Field(0, ge=0, le=256, description="CPU threads of a replica; 0 means all that its node has.")


class Recording(Part):
    """What monitoring keeps."""

    payload_share: Percent = Field("100%", description="Share of calls whose payload and answer are kept.")
    retention: Duration = Field("30d", description="How long payloads without a correction are kept.")
