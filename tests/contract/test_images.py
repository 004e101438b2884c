"""What the images of services/Dockerfile hold, by the lock that they are built from."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ["--package=packline-ocr", "--package=packline-training", "--package=packline-monitoring"]


def locked(*arguments: str) -> set[str]:
    uv = shutil.which("uv") or str(ROOT / ".tools/uv/bin/uv")
    command = [uv, "export", "--frozen", "--no-dev", "--no-hashes", "--no-header", *arguments]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {match[1] for match in re.finditer(r"^([A-Za-z0-9_.-]+)==", text, re.MULTILINE)}


def test_serving_image_has_onnxruntime_and_no_torch() -> None:
    names = locked(*SERVICES, "--extra=cpu")
    assert "onnxruntime" in names
    assert not names & {"torch", "onnxruntime-gpu", "mlflow"}


def test_gpu_images_have_one_onnxruntime() -> None:
    names = locked(*SERVICES, "--extra=gpu", "--extra=train")
    assert {"onnxruntime-gpu", "torch"} <= names
    assert "onnxruntime" not in names


def test_operator_image_has_no_model_runtime() -> None:
    assert not locked("--package=packline-operator") & {"onnxruntime", "torch", "ray", "opencv-python-headless"}


@pytest.mark.parametrize("dockerfile", ["services/Dockerfile", "operators/pack/Dockerfile"])
def test_dockerfiles_copy_only_what_is_there(dockerfile: str) -> None:
    for line in (ROOT / dockerfile).read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), f"{dockerfile} copies {source}, which is not there"
