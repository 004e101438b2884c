"""What the images of services/Dockerfile and operators/pack/Dockerfile hold, by the lock that they are built from."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packline_core.fleet.environment import fleet_environment

ROOT = Path(__file__).parents[2]
SERVICES, OPERATOR = "services/Dockerfile", "operators/pack/Dockerfile"
HEAVY = ("cv2", "implicit", "onnx", "onnxruntime", "optuna", "PIL", "pyarrow", "pypdfium2", "ray", "scipy", "torch")


def locked(*arguments: str) -> set[str]:
    uv = shutil.which("uv") or str(ROOT / ".tools/uv/bin/uv")
    command = [uv, "export", "--frozen", "--no-dev", "--no-hashes", "--no-header", *arguments]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {match[1] for match in re.finditer(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


def instructions(dockerfile: str) -> list[str]:
    """The instructions of a Dockerfile, each on one line."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / dockerfile).read_text(), flags=re.MULTILINE)
    return re.sub(r"\s*\\\n\s*", " ", text).splitlines()


def synced(dockerfile: str) -> list[list[str]]:
    """What each `uv sync` of a Dockerfile selects."""
    runs = [run for run in instructions(dockerfile) if "uv sync" in run]
    chosen = [run.partition("uv sync")[2].partition("&&")[0].replace("${ACCELERATOR}", "cpu").split() for run in runs]
    return [[word for word in words if word not in {"--frozen", "--no-dev", "--no-editable"}] for words in chosen]


def test_serving_image_has_onnxruntime_and_no_torch() -> None:
    names = locked(*synced(SERVICES)[0])
    assert {"onnxruntime", "psycopg", "s3fs"} <= names
    assert not names & {"torch", "onnxruntime-gpu", "mlflow"}


def test_training_image_has_torch_and_the_ui() -> None:
    assert {"onnxruntime", "torch", "mlflow", "psycopg", "s3fs"} <= locked(*synced(SERVICES)[1])


def test_gpu_images_have_one_onnxruntime_and_its_cuda() -> None:
    serve, train = (locked(*["gpu" if word == "cpu" else word for word in chosen]) for chosen in synced(SERVICES))
    for names in (serve, train):
        assert {
            "onnxruntime-gpu",
            "nvidia-cublas",
            "nvidia-cuda-runtime",
            "nvidia-cudnn-cu13",
            "nvidia-curand",
        } <= names
        assert "onnxruntime" not in names
    assert "torch" in train - serve


def test_operator_image_has_no_model_runtime() -> None:
    names = locked(*synced(OPERATOR)[0])
    assert {"kopf", "kubernetes"} <= names
    assert not names & {"onnxruntime", "torch", "ray", "opencv-python-headless"}


def test_tasks_words_need_no_more_than_the_operators_image_has() -> None:
    """It takes the tasks' packages without their dependencies: naming a base or parsing a Pack must need none."""
    program = f"""
import sys
from packline_core.fleet.schema import Fleet, build_config
from packline_core.task import get_task, task_names
heavy = {HEAVY!r}
sys.modules.update(dict.fromkeys(heavy))  # whoever imports one fails
tasks = [get_task(name) for name in task_names() if name != "echo"]
assert tasks and all(task.spec.model_json_schema() and task.bases and task.application for task in tasks)
"""
    # Isolated: other tests put tasks of their own on PYTHONPATH.
    subprocess.run([sys.executable, "-I", "-c", program], check=True)


@pytest.mark.parametrize("dockerfile", [SERVICES, OPERATOR])
def test_dockerfiles_copy_only_what_is_there(dockerfile: str) -> None:
    for line in instructions(dockerfile):
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), f"{dockerfile} copies {source}, which is not there"


def test_images_have_the_environment_of_a_fleet() -> None:
    (env,) = [line for line in instructions(SERVICES) if "RAY_SERVE_ENABLE_HA_PROXY" in line]
    values = dict(word.partition("=")[::2] for word in env.removeprefix("ENV ").split())
    site = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    here = {name: value.replace("${SITE}", str(site)) for name, value in values.items()}
    wanted = fleet_environment()
    assert here.keys() >= wanted.keys()
    # Here core is not installed but lies in the tree; in the image both are below site-packages.
    script = "RAY_SERVE_HAPROXY_BINARY_PATH"
    assert values[script] == "${SITE}/packline_core/fleet/haproxy.sh"
    assert {name: here[name] for name in wanted if name != script} == {
        name: value for name, value in wanted.items() if name != script
    }
