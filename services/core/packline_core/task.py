"""A task: everything that differs between reading documents, recommending and searching, behind one protocol.

Core, training, monitoring and the operator know tasks only by what stands here. A task is a distribution that names its
class under the entry point group `packline.tasks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel

from packline_core.errors import NotFound

if TYPE_CHECKING:
    from packline_core.bundle import Bundle
    from packline_core.config import Settings
    from packline_core.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example.

    Attributes:
        key: Its stable identity, which fixes whether it is trained on or golden; for payloads `sha256:…` of the bytes
            (with `#page` where a payload has several). A later example with the same key replaces the earlier label.
        payload: The input as a caller would send it; empty for tasks whose examples have none.
        truth: The label, in the task's own JSON. Empty for context, such as what is known of a user: context is trained
            on, whatever its key, and nothing is judged by it; a later one with the same key replaces the earlier.
        group: What is resampled as a whole when an interval is made: a document, a query, a user.
        source: Where it came from, for messages: a file and line, or a correction's id.
    """

    key: str
    payload: bytes
    truth: str
    group: str
    source: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row or file of an import that is no example, and why. `line` counts from 1; 0 means the whole file."""

    source: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Count:
    """A metric's share of one example: over a set, the metric is sum of `value` / sum of `weight`."""

    value: float
    weight: float


@dataclass(frozen=True, slots=True)
class ExampleScore:
    """How a model did on one example, by metric name."""

    key: str
    group: str
    counts: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of merit. For `goal` "max" the error that tolerances refer to is 1 - value."""

    name: str
    goal: Literal["min", "max"]
    description: str


@dataclass(frozen=True, slots=True)
class Base:
    """A base model of the catalogue.

    Attributes:
        name: What a manifest's `model.base` says.
        description: For people who choose.
        licence: SPDX identifier of the weights.
        source: Where the weights come from, with the version.
    """

    name: str
    description: str
    licence: str
    source: str


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between two bounds, both included; `log` samples the exponent; `integer` whole numbers only."""

    low: float
    high: float
    log: bool = False
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    values: tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What training may vary. `start` is tried first: the best known parameters for data unseen."""

    parameters: Mapping[str, Range | Choice]
    start: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters to train with, from one base."""

    base: str
    start: Bundle
    parameters: Mapping[str, Any]
    seed: int


class Examples(Protocol):
    """A set of examples on disk that can be read many times; never all in memory unless the reader wants it so."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...


class TrainContext(Protocol):
    """What training a trial may use of the world."""

    @property
    def checkpoints(self) -> Path:
        """A folder that outlives the process: a trial taken up again finds there what it left."""

    @property
    def seconds_left(self) -> float:
        """Of the trial's budget; `train` returns before it is spent."""

    @property
    def threads(self) -> int:
        """CPU threads to use."""

    def report(self, percent: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Tells how far it is; raises `errors.Cancelled` where the run was called off."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trial made.

    Attributes:
        folder: Its weights in the task's own form, below the trial's checkpoints.
        metrics: By name, on a validation slice of the training part; the objective's metric is among them.
        notes: What a user should know, in sentences: characters that were too rare to learn, labels that contradict.
    """

    folder: Path
    metrics: Mapping[str, float]
    notes: tuple[str, ...] = ()


class Predictor(Protocol):
    """A bundle that is loaded and answers. Thread-safe."""

    def prepare(self, payload: Any) -> Sequence[Any]:
        """Takes a request's input apart into items (a document's pages). Runs in a small pool beside `predict`, and may
        return a lazy sequence. Raises `errors.InvalidInput`.
        """

    def predict(self, items: Sequence[Any]) -> Sequence[Any]:
        """Answers a batch of items, of one call or of several: for each its result, or the `PacklineError` it met."""

    def answer(self, payload: bytes) -> str:
        """The whole answer to one payload in the task's own JSON: for reference inputs and the prediction log."""

    def close(self) -> None:
        """Gives memory back."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a Pack's durable state beside its bundle lies (a search index, last events); its replicas share it.

    Attributes:
        pack: Whose state it is.
        database: SQLAlchemy URL; the tables there are of all Packs.
        folder: fsspec URL below which the Pack's files are.
    """

    pack: str
    database: str
    folder: str


@runtime_checkable
class Remembering(Protocol):
    """What a task is besides, whose Packs are told things while they serve that training should know."""

    def recorded(self, state: State) -> Iterator[Example | BadRow]:
        """What a Pack's state holds, as examples; read at the start of every training run, so that the examples of what
        has not changed are the same as last time.
        """

    def forget(self, state: State) -> None:
        """Removes a Pack's state, when the Pack is deleted. Repeating it changes nothing."""


@runtime_checkable
class Questioning(Protocol):
    """What a task is besides, whose models are asked otherwise than its training's examples read."""

    def questions(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads a folder or file as what `packline evaluate` asks, with the truths that the answers are held to."""


@runtime_checkable
class Rewarding(Protocol):
    """What a task is besides, whose truths say what users took, so that versions are compared by what users did."""

    def is_hit(self, answer_json: str, truths_json: Sequence[str]) -> bool:
        """Whether a user took something of an answer, by all that was told of it, oldest first."""

    def off_policy(self, shown_json: str, other_json: str, truths_json: Sequence[str]) -> tuple[Count, Count]:
        """What an answer that was shown is worth by what the user took, and what one that nobody saw would have been.

        Over many answers each estimate is sum of values / sum of weights; the task says how it is biased.
        """


class Task(Protocol):
    """A task plug-in."""

    name: str
    title: str
    spec: type[BaseModel]
    bases: Sequence[Base]
    metrics: Sequence[Metric]
    # Full names of the generated functions that add the task's servicers to a server,
    # `packline.ocr.v1.ocr_pb2_grpc.add_OcrServiceServicer_to_server`.
    grpc_servicers: Sequence[str]
    # `module:function` that binds a Ray Serve application from (pack, task spec).
    application: str

    def build_base(self, base: str, folder: Path) -> None:
        """Writes the sealed bundle of a base model into the empty `folder`."""

    def default_base(self, objective_metric: str | None) -> str:
        """The base that `base: auto` means before any trial."""

    def read(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads a folder or file in the field's formats."""

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        """Makes an example of a correction; raises `errors.InvalidInput` where the truth is not of the task's form."""

    def search_space(self, base: str) -> SearchSpace:
        """What may be varied for this base."""

    def train(self, trial: Trial, data: Examples, context: TrainContext) -> Trained:
        """Trains one trial, resuming from `context.checkpoints` where it finds work there. Imports torch."""

    def export(self, trained: Trained, start: Bundle, folder: Path) -> None:
        """Writes ONNX files, vocabularies and reference inputs into the empty `folder`, and proves that they agree with
        what was trained; the caller seals it. Raises `errors.BundleRejected` where they do not.
        """

    def load(self, bundle: Bundle, runtime: Runtime) -> Predictor:
        """Opens a bundle. Raises `errors.BundleRejected` where its signature is not what the task serves."""

    def prepare(self, bundle: Bundle, state: State) -> None:
        """What must be done before traffic, such as building the index that a new encoder needs."""

    def evaluate(self, predictor: Predictor, examples: Iterator[Example]) -> Iterator[ExampleScore]:
        """Scores a model on examples, one by one and in order."""

    def score(self, answer_json: str, example: Example) -> ExampleScore:
        """Scores one answer, such as one that came over gRPC."""

    def signals(self, answer_json: str) -> Mapping[str, float]:
        """Numbers that describe an answer, for comparison of versions and drift; `confidence` where there is one."""

    def agreement(self, first_json: str, second_json: str) -> float:
        """How far two answers to one request agree, 0 to 1."""


def state_of(pack: str, settings: Settings) -> State:
    """Where a Pack's state lies in an installation."""
    return State(pack, settings.state_database, f"{settings.store}/state/{pack}")


def task_names() -> tuple[str, ...]:
    """The names of all installed tasks."""
    return tuple(sorted(point.name for point in entry_points(group="packline.tasks")))


@cache
def get_task(name: str) -> Task:
    """The installed task of that name; raises `errors.NotFound` with the names that there are."""
    for point in entry_points(group="packline.tasks", name=name):
        task: Task = point.load()()
        return task
    raise NotFound(
        f"no task {name!r} is installed (installed: {', '.join(task_names()) or 'none'}); "
        "install its package or correct spec.task",
        reason="UNKNOWN_TASK",
        task=name,
    )
