"""skaffold.yaml names what is there: Dockerfiles, source folders, values of the chart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "packline"
SKAFFOLD: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
(RELEASE,) = SKAFFOLD["deploy"]["helm"]["releases"]


PATCHES = {profile["name"]: profile["patches"] for profile in SKAFFOLD["profiles"]}
TEMPLATES = "/deploy/helm/releases/0/setValueTemplates/"


def added(path: str) -> Iterator[tuple[str, Any]]:
    """What profiles put at or below a path: the last part of where, and the value."""
    for patch in (patch for patches in PATCHES.values() for patch in patches):
        if patch["path"].startswith(path):
            yield patch["path"].rpartition("/")[2], patch["value"]


ARTIFACTS = [*SKAFFOLD["build"]["artifacts"], *(value for _, value in added("/build/artifacts/-"))]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact["image"])
def test_artifacts_are_built_from_what_is_there(artifact: dict[str, Any]) -> None:
    dockerfile = (ROOT / artifact["docker"]["dockerfile"]).read_text()
    if target := artifact["docker"].get("target"):
        assert re.search(rf"^FROM .* AS {target}$", dockerfile, re.MULTILINE)
    for name in artifact["docker"].get("buildArgs", {}):
        assert f"ARG {name}" in dockerfile
    python = re.search(r"^ARG PYTHON=(.+)$", dockerfile, re.MULTILINE)
    assert python is not None
    for rule in artifact["sync"]["manual"]:
        assert list(ROOT.glob(rule["src"])), f"{rule['src']} matches nothing"
        assert rule["src"].startswith(rule["strip"])
        assert rule["dest"] == f"/opt/packline/lib/python{python[1]}/site-packages"


def test_the_release_sets_values_that_the_chart_has() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    templates = {**RELEASE["setValueTemplates"], **dict(added(TEMPLATES))}
    for name in (*RELEASE["setValues"], *templates):
        found = values
        for part in name.split("."):
            found = found[part]
    images = {artifact["image"].replace("/", "_") for artifact in ARTIFACTS}
    assert {re.sub(r"^{{\.IMAGE_(REPO|TAG)_(.*)}}$", r"\2", template) for template in templates.values()} == images


def test_each_profile_has_its_values() -> None:
    assert (ROOT / RELEASE["chartPath"] / "Chart.yaml").is_file()
    assert set(PATCHES) == {"cpu", "gpu", "kind"}
    for _, (path,) in added("/deploy/helm/releases/0/valuesFiles"):
        assert (ROOT / path).is_file()


def test_gpu_images_are_built_for_gpus() -> None:
    patched = {patch["path"] for patch in PATCHES["gpu"] if patch["value"] == "gpu"}
    serving = [number for number, one in enumerate(ARTIFACTS[:3]) if "ACCELERATOR" in one["docker"]["buildArgs"]]
    assert patched == {f"/build/artifacts/{number}/docker/buildArgs/ACCELERATOR" for number in serving}
