"""The echo task: gives values back, and learns the constant by which they are off."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from packline_core.bundle import Bundle, bytes_digest
from packline_core.errors import InvalidInput
from packline_core.runtime import Runtime
from packline_core.task import (
    BadRow,
    Base,
    Count,
    Example,
    Examples,
    ExampleScore,
    Metric,
    Range,
    SearchSpace,
    State,
    TrainContext,
    Trained,
    Trial,
)

from packline_echo.bundles import write_bundle
from packline_echo.config import SETTINGS, EchoSettings, EchoSpec, read_settings
from packline_echo.domain import Values, parse_answer, parse_values
from packline_echo.engine import EchoPredictor
from packline_echo.graphs import write_offset

_CHAIN_DEPTH = 120
_CLOSE = 1e-3


class EchoTask:
    """The plug-in."""

    name = "echo"
    title = "Echo"
    spec = EchoSpec
    bases = (
        Base("identity", "Gives every value back.", "CC0-1.0", "built by this task"),
        Base("chain", "Turns 256 values by a chain of matrix products.", "CC0-1.0", "built by this task"),
    )
    metrics = (Metric("error", "min", "Mean absolute difference from the truth."),)
    grpc_servicers = ("packline.echo.v1.echo_pb2_grpc.add_EchoServiceServicer_to_server",)
    application = "packline_echo.app:build"

    def build_base(self, base: str, folder: Path) -> None:
        """Writes a base's bundle."""
        write_bundle(folder, depth=_CHAIN_DEPTH if base == "chain" else 0, base=base)

    def default_base(self, objective_metric: str | None) -> str:
        """The one that learns."""
        return "identity"

    def read(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads JSON lines of `{"values": […], "truth": […]}` from a file, or from all `.jsonl` of a folder."""
        for path in sorted(source.glob("*.jsonl")) if source.is_dir() else [source]:
            with path.open(encoding="utf8") as stream:
                for number, line in enumerate(stream, 1):
                    try:
                        row = json.loads(line)
                        payload = json.dumps(row["values"]).encode()
                        yield self.example(payload, 1, json.dumps(row["truth"]), f"{path.name}:{number}")
                    except (ValueError, KeyError, TypeError, InvalidInput) as error:
                        yield BadRow(path.name, number, f"{type(error).__name__}: {error}")

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        """Checks one pair of values and truth."""
        if len(parse_values(payload)) != len(parse_values(truth_json)):
            raise InvalidInput("truth: as many numbers as values are expected", field="truth_json")
        digest = bytes_digest(payload)
        return Example(digest, payload, truth_json, digest, source)

    def search_space(self, base: str) -> SearchSpace:
        """How far each step goes."""
        return SearchSpace({"rate": Range(0.1, 1.0)}, {"rate": 1.0})

    def train(self, trial: Trial, data: Examples, context: TrainContext) -> Trained:
        """Moves the offset by `rate` of the mean difference; works on the graph that only adds."""
        differences = [float(np.mean(parse_values(example.truth) - parse_values(example.payload))) for example in data]
        start = read_settings(trial.start.path(SETTINGS)).offset
        wanted = float(np.mean(differences)) if differences else start
        offset = start + trial.parameters["rate"] * (wanted - start)
        context.report(100.0, "fitted", {"error": abs(wanted - offset)})
        folder = context.checkpoints / "trained"
        folder.mkdir(parents=True, exist_ok=True)
        EchoSettings(offset=offset).write(folder)
        write_offset(folder / "model.onnx", offset)
        return Trained(folder, {"error": abs(wanted - offset)})

    def export(self, trained: Trained, start: Bundle, folder: Path) -> None:
        """Writes the bundle's files; the caller seals them."""
        write_bundle(folder, offset=read_settings(trained.folder / SETTINGS).offset, base=start.manifest.base)

    def load(self, bundle: Bundle, runtime: Runtime) -> EchoPredictor:
        """Opens a bundle."""
        return EchoPredictor(bundle, runtime)

    def prepare(self, bundle: Bundle, state: State) -> None:
        """Nothing has to be prepared."""

    def evaluate(self, predictor: EchoPredictor, examples: Iterator[Example]) -> Iterator[ExampleScore]:
        """Scores a model."""
        for example in examples:
            yield self.score(predictor.answer(example.payload), example)

    def score(self, answer_json: str, example: Example) -> ExampleScore:
        """Scores one answer."""
        errors = np.abs(parse_answer(answer_json) - parse_values(example.truth))
        return ExampleScore(example.key, example.group, {"error": Count(float(errors.sum()), float(len(errors)))})

    def signals(self, answer_json: str) -> Mapping[str, float]:
        """The values' mean."""
        return {"mean": float(np.mean(parse_answer(answer_json)))}

    def agreement(self, first_json: str, second_json: str) -> float:
        """The share of values that are the same in both."""
        first, second = parse_answer(first_json), parse_answer(second_json)
        return _share_equal(first, second)


def _share_equal(first: Values, second: Values) -> float:
    if first.shape != second.shape:
        return 0.0
    return float(np.mean(np.isclose(first, second, atol=_CLOSE)))
