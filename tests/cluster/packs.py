"""Packs for the operator's tests: the CRD with the test task echo, manifests, and a client of the API server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import kubernetes
from packline_core.errors import PacklineError
from packline_operator.kubernetes.api import Api
from packline_operator.kubernetes.crd import SHIPPED, crd
from packline_operator.kubernetes.source import packs_path

from tests.cluster.bed import Bed
from tests.cluster.waiting import wait


def api_of(bed: Bed) -> Api:
    """The operator's own client, as administrator."""
    return Api(kubernetes.config.new_client_from_config(str(bed.admin)))


def manifest(name: str = "p", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    """A Pack of task echo, unless told otherwise."""
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "packline.dev/v1alpha1",
        "kind": "Pack",
        "metadata": metadata,
        "spec": {"task": "echo", **spec},
    }


def install_crd(bed: Bed, *more: str) -> None:
    """The CRD of the shipped tasks and of `more`; returns once the API server goes by it."""
    definition = crd((*SHIPPED, *more))
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api = api_of(bed)
    api.apply(f"{path}/{definition['metadata']['name']}", definition)
    probe = [manifest(f"probe-{task}", task=task) for task in (*SHIPPED, *more)]
    wait(lambda: all(not refusal(api, one) for one in probe), "the API server goes by the CRD", timeout=30)


def refusal(api: Api, pack: Mapping[str, Any]) -> str:
    """What the API server has against a manifest, as strict as kubectl asks it to be; empty where it takes it."""
    try:
        api.create(packs_path("default"), pack, dryRun="All", fieldValidation="Strict")
    except PacklineError as error:
        return error.message
    return ""
