"""The operator's Role, held against the requests that it really makes, as the API server's audit log has them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.bed import Bed
from tests.cluster.chart import CHART, install_fleet_crd, pods, render
from tests.cluster.waiting import wait

pytestmark = [pytest.mark.cluster]
NAMESPACE = "packs"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:packline-operator"
# What every authenticated user may ask of every API server.
ANYBODYS = {"", "authentication.k8s.io", "authorization.k8s.io"}
Request = tuple[str, str, str]


@pytest.fixture(scope="module")
def audited(cluster: Bed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bed, Path]]:
    """A control plane of its own that writes down what the operator's account asks for."""
    folder = tmp_path_factory.mktemp("audited")
    policy, log = folder / "policy.yaml", folder / "audit.jsonl"
    rules = [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}]
    policy.write_text(
        yaml.safe_dump(
            {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
        )
    )
    flags = (f"--audit-policy-file={policy}", f"--audit-log-path={log}")
    with Bed(folder / "bed", flags) as bed:
        bed.start_api()
        install_fleet_crd(bed)
        yield bed, log


def test_the_operator_is_granted_what_it_asks_for_and_no_more(audited: tuple[Bed, Path]) -> None:
    bed, log = audited
    bed.create_namespace(NAMESPACE)
    bed.helm("install", "packline", str(CHART), "-n", NAMESPACE)
    pack = {
        "apiVersion": "packline.dev/v1alpha1",
        "kind": "Pack",
        "metadata": {"name": "invoices", "namespace": NAMESPACE},
        "spec": {"task": "ocr", "serving": {"pool": "elsewhere"}},
    }
    with _operator(bed):
        bed.apply(pack)
        wait(lambda: bed.get("pack", "invoices", "-n", NAMESPACE).get("status"), "the Pack has a status")
        wait(lambda: _serve_config(bed), "the fleet has its configuration")
        wait(lambda: bed.get("events", "-n", NAMESPACE)["items"], "something was told")
        # The whole namespace goes. No controller runs here that would take the Role first.
        bed.kubectl("delete", "pack", "invoices", "-n", NAMESPACE, "--wait=false")
        bed.kubectl("delete", "rayservice", "packline", "-n", NAMESPACE)
        bed.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        wait(lambda: not bed.get("packs", "-n", NAMESPACE)["items"], "the Pack is let go")

    asked, refused = _asked(log)
    assert not refused
    assert asked == _granted(bed)


def test_one_namespace_and_all_are_granted_the_same(cluster: Bed) -> None:
    (role,) = _roles(render(cluster, "a"))
    everywhere = render(cluster, "a", "--set", "operator.namespaces={*}")
    (cluster_role,) = [found for found in everywhere if found["kind"] == "ClusterRole"]
    assert role["rules"] == cluster_role["rules"]
    some = render(cluster, "a", "--set", "operator.namespaces={b,c}")
    assert {found["metadata"]["namespace"] for found in _roles(some)} == {"b", "c"}
    for objects in (everywhere, some):
        assert "*" not in json.dumps([rule for found in objects for rule in found.get("rules", ())])


@contextmanager
def _operator(bed: Bed) -> Iterator[None]:
    """The operator as its Deployment has it, but for where it runs; its fleet is away."""
    (pod,) = dict(pods([bed.get("deployment", "packline-operator", "-n", NAMESPACE)])).values()
    (container,) = pod["spec"]["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    given |= {"POD_NAME": "packline-operator-0", "POD_NAMESPACE": NAMESPACE}
    away = {
        "PACKLINE_ADDRESS": "127.0.0.1:1",
        "PACKLINE_SERVE_API": "http://127.0.0.1:1",
        "PACKLINE_OPERATOR_PORT": "0",
    }
    account = bed.kubeconfig("packline-operator", NAMESPACE)
    with (bed.folder / "operator.log").open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "packline_operator.kubernetes"],
            env={**bed.environment(account), **given, **away, "PACKLINE_OPERATOR_PORT": "0"},
            stdout=told,
            stderr=told,
        )
    try:
        yield
        assert process.poll() is None, (bed.folder / "operator.log").read_text()[-3000:]
    finally:
        process.terminate()
        process.wait(30)


def _serve_config(bed: Bed) -> str:
    return str(bed.get("rayservice", "packline", "-n", NAMESPACE)["spec"].get("serveConfigV2", ""))


def _asked(log: Path) -> tuple[set[Request], list[str]]:
    """What was asked for, and what of it was refused."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    entries = [entry for entry in entries if "objectRef" in entry and not _is_anybodys(entry["objectRef"])]
    # Not by their status: what a namespace that ends takes no more is forbidden too, whatever RBAC says.
    allowed = "authorization.k8s.io/decision"
    refused = [entry["requestURI"] for entry in entries if entry["annotations"][allowed] != "allow"]
    asked = set()
    for entry in entries:
        about = entry["objectRef"]
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        asked.add((about.get("apiGroup", ""), resource, entry["verb"]))
    return asked, refused


def _is_anybodys(about: Mapping[str, Any]) -> bool:
    return about.get("apiGroup", "") in ANYBODYS - {""} or not about.get("resource")


def _granted(bed: Bed) -> set[Request]:
    rules = [rule for role in bed.get("roles", "-n", NAMESPACE)["items"] for rule in role["rules"]]
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _roles(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """But for the Lease's, which is its own namespace's alone."""
    return [found for found in objects if found["kind"] == "Role" and "lease" not in found["metadata"]["name"]]
