"""The smallest task that learns: payload `{"x": 2.0}`, truth `{"y": 5.0}`, a model of two numbers as ONNX.

`SLOPE_CONTROL` names a JSON file that tests steer it by while it runs: `step_seconds` slows training down, `fail` makes
it break.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from packline_core.bundle import Bundle, Reference, bytes_digest, seal
from packline_core.errors import FailedPrecondition, InvalidInput
from packline_core.filesystem import open_filesystem
from packline_core.runtime import Runtime, create_session
from packline_core.task import (
    BadRow,
    Base,
    Choice,
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
from pydantic import BaseModel

STEPS = 40


class SlopeSpec(BaseModel):
    """Nothing to set."""


def control() -> dict[str, Any]:
    path = Path(os.environ.get("SLOPE_CONTROL", "/nonexistent"))
    return json.loads(path.read_text()) if path.exists() else {}


def write_model(a: float, b: float, folder: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    numbers = [helper.make_tensor(name, TensorProto.FLOAT, [1], [value]) for name, value in (("a", a), ("b", b))]
    nodes = [helper.make_node("Mul", ["x", "a"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["y"])]
    graph = helper.make_graph(nodes, "slope", [x], [y], numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "slope.onnx"))
    (folder / "references").mkdir()
    (folder / "references" / "two.json").write_text('{"x": 2.0}')


class SlopePredictor:
    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._session = create_session(bundle.path("slope.onnx"), runtime)

    def prepare(self, payload: Any) -> Sequence[Any]:
        return [json.loads(payload)["x"]]

    def predict(self, items: Sequence[Any]) -> Sequence[Any]:
        return [float(self._session.run(None, {"x": np.array([x], np.float32)})[0][0]) for x in items]

    def answer(self, payload: bytes) -> str:
        if pause := control().get("answer_seconds"):
            time.sleep(pause)
        return json.dumps({"y": self.predict(self.prepare(payload))[0]})

    def close(self) -> None:
        pass


class SlopeTask:
    name = "slope"
    title = "A slope"
    spec = SlopeSpec
    bases = (Base("flat", "y = 0", "Apache-2.0", "made here"), Base("one", "y = x", "Apache-2.0", "made here"))
    metrics = (Metric("mae", "min", "Mean absolute error"), Metric("near", "max", "Share within 0.5"))
    grpc_servicers: Sequence[str] = ()
    application = "packline_slope.app:build"

    def build_base(self, base: str, folder: Path) -> None:
        write_model(0.0 if base == "flat" else 1.0, 0.0, folder)
        (folder / "references" / "two.json.answer.json").write_text(json.dumps({"y": 0.0 if base == "flat" else 2.0}))
        seal(
            folder,
            task="slope",
            base=base,
            created_at=datetime.now(UTC),
            signature={},
            references=(Reference("references/two.json", "references/two.json.answer.json"),),
        )

    def default_base(self, objective_metric: str | None) -> str:
        return "flat"

    def read(self, source: Path) -> Iterator[Example | BadRow]:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            name = path.relative_to(source).as_posix()
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                try:
                    x, y = (float(part) for part in line.split("\t"))
                except ValueError:
                    yield BadRow(name, number, f"{line[:40]!r} is not two numbers with a tab between them")
                    continue
                yield self.example(json.dumps({"x": x}).encode(), 1, json.dumps({"y": y}), f"{name} line {number}")

    def recorded(self, state: State) -> Iterator[Example | BadRow]:
        files, folder = open_filesystem(state.folder)
        with TemporaryDirectory() as copy:
            if files.exists(folder):
                files.get(folder, copy, recursive=True)
            yield from self.read(Path(copy))

    def forget(self, state: State) -> None:
        files, folder = open_filesystem(state.folder)
        if files.exists(folder):
            files.rm(folder, recursive=True)

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        try:
            y = float(json.loads(truth_json)["y"])
        except (ValueError, KeyError, TypeError):
            raise InvalidInput(f"{source}: a truth looks like {{'y': 5.0}}, not {truth_json[:40]}") from None
        key = bytes_digest(payload)
        return Example(key, payload, json.dumps({"y": y}), key, source)

    def search_space(self, base: str) -> SearchSpace:
        return SearchSpace(
            {"rate": Range(0.01, 1.0, log=True), "momentum": Choice((0.0, 0.5))}, {"rate": 0.3, "momentum": 0.0}
        )

    def train(self, trial: Trial, data: Examples, context: TrainContext) -> Trained:
        pairs = np.array([(json.loads(e.payload)["x"], json.loads(e.truth)["y"]) for e in data])
        held = max(1, len(pairs) // 5)
        (xs, ys), (vx, vy) = pairs[held:].T, pairs[:held].T
        scale = float(np.mean(xs**2) + 1)
        place = context.checkpoints / "slope.json"
        started = {"step": 0, "a": 0.0, "b": 0.0, "da": 0.0, "db": 0.0}
        at = json.loads(place.read_text()) if place.exists() else started
        with (context.checkpoints / "pids").open("a") as log:
            log.write(f"{os.getpid()} {at['step']}\n")
        for step in range(at["step"], STEPS):
            told = control()
            if told.get("fail"):
                raise FailedPrecondition(told["fail"])
            time.sleep(told.get("step_seconds", 0))
            error = at["a"] * xs + at["b"] - ys
            for name, gradient in (("a", np.mean(error * xs)), ("b", np.mean(error))):
                at["d" + name] = (
                    trial.parameters["momentum"] * at["d" + name] - trial.parameters["rate"] * gradient / scale
                )
                at[name] += float(at["d" + name])
            at["step"] = step + 1
            place.with_suffix(".new").write_text(json.dumps(at))
            place.with_suffix(".new").replace(place)
            mae = float(np.mean(np.abs(at["a"] * vx + at["b"] - vy)))
            context.report(100 * (step + 1) / STEPS, f"step {step + 1} of {STEPS}", {"mae": mae})
        return Trained(context.checkpoints, {"mae": mae}, ("learned a slope",))

    def export(self, trained: Trained, start: Bundle, folder: Path) -> None:
        at = json.loads((trained.folder / "slope.json").read_text())
        write_model(at["a"], at["b"], folder)

    def load(self, bundle: Bundle, runtime: Runtime) -> SlopePredictor:
        return SlopePredictor(bundle, runtime)

    def prepare(self, bundle: Bundle, state: State) -> None:
        pass

    def evaluate(self, predictor: Any, examples: Iterator[Example]) -> Iterator[ExampleScore]:
        for example in examples:
            yield self.score(predictor.answer(example.payload), example)

    def score(self, answer_json: str, example: Example) -> ExampleScore:
        error = abs(json.loads(answer_json)["y"] - json.loads(example.truth)["y"])
        return ExampleScore(example.key, example.group, {"mae": Count(error, 1), "near": Count(float(error < 0.5), 1)})

    def signals(self, answer_json: str) -> Mapping[str, float]:
        return {}

    def agreement(self, first_json: str, second_json: str) -> float:
        return 1.0 if first_json == second_json else 0.0
