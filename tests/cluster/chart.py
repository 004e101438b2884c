"""The chart, as tests take it: its profiles, what it renders, and the pods in what it renders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.assets import find_assets
from tests.cluster.bed import Bed
from tests.cluster.waiting import wait

CHART = Path(__file__).parents[2] / "charts" / "packline"
CRD = CHART / "crds" / "packs.packline.dev.yaml"
PROFILES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    **{name: ("-f", str(CHART / f"values-{name}.yaml")) for name in ("cpu", "gpu", "kind")},
    # Whatever is off by default.
    "everything": (
        *("-f", str(CHART / "values-gpu.yaml")),
        *("--set", "metrics.enabled=true,fleet.autoscaling=true,cache.kind=hostPath,fleet.env[0].name=A"),
        *("--set", "edge.enabled=true,edge.className=envoy,edge.tlsSecret=tls,edge.hostnames={packs.example.org}"),
        *(
            "--set",
            "operator.namespaces={*},imagePullSecrets={registry},networkPolicy.prometheus[0].podSelector.matchLabels.a=b",
        ),
        *("--set", "networkPolicy.egress[0].ports[0].port=443"),
    ),
}


def render(bed: Bed, namespace: str, *arguments: str, chart: Path = CHART) -> list[dict[str, Any]]:
    """What `helm template` makes of the chart for a release called `packline`."""
    text = bed.helm("template", "packline", str(chart), "--namespace", namespace, *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


def install_fleet_crd(bed: Bed) -> None:
    """KubeRay's RayService alone: its four CRDs together keep an API server busy for many seconds."""
    bed.kubectl("apply", "--server-side", "-f", str(find_assets().crds / "ray.io_rayservices.yaml"))
    wait(lambda: bed.kubectl("get", "rayservices.ray.io", "--all-namespaces") is not None, "RayServices are served")


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that the objects are or ask for: what it is called, and its template."""
    for found in objects:
        name, spec = found["metadata"]["name"], found.get("spec", {})
        if found["kind"] == "Pod":
            yield name, found
        elif found["kind"] == "Deployment":
            yield name, spec["template"]
        elif found["kind"] == "RayService":
            cluster = spec["rayClusterConfig"]
            yield f"{name}-head", cluster["headGroupSpec"]["template"]
            for group in cluster.get("workerGroupSpecs", ()):
                yield f"{name}-{group['groupName']}", group["template"]
