"""An API server too busy for one account: it answers 429, by its own priority and fairness, to all that it patches.

A priority level without a seat of its own still serves one request at a time, so one is held: its body never comes.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from packline_operator.kubernetes.api import MERGE
from packline_operator.kubernetes.source import packs_path

from tests.cluster.bed import Bed

_NAME = "put-off"


@contextmanager
def put_off(bed: Bed, account: str, namespace: str) -> Iterator[None]:
    """As long as the block lasts, which is to be less than a minute: then the held request has its own timeout."""
    objects = _objects(account, namespace)
    bed.apply(*objects)
    held = _held_request(bed, account, namespace)
    try:
        yield
    finally:
        held.close()
        bed.kubectl("delete", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))


def _objects(account: str, namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A priority level, and what belongs to it: leases do not, so that who holds one keeps it."""
    place = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "metadata": {"name": _NAME}}
    seats = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0}
    limited = {**seats, "limitResponse": {"type": "Reject"}}
    level = {**place, "kind": "PriorityLevelConfiguration", "spec": {"type": "Limited", "limited": limited}}
    subject = {"kind": "ServiceAccount", "serviceAccount": {"name": account, "namespace": namespace}}
    asked = {"verbs": ["patch"], "apiGroups": ["packline.dev", "ray.io"], "resources": ["*"], "namespaces": ["*"]}
    rules = [{"subjects": [subject], "resourceRules": [asked]}]
    spec = {"priorityLevelConfiguration": {"name": _NAME}, "matchingPrecedence": 2, "rules": rules}
    return level, {**place, "kind": "FlowSchema", "spec": spec}


def _held_request(bed: Bed, account: str, namespace: str) -> http.client.HTTPSConnection:
    config = yaml.safe_load(bed.kubeconfig(account, namespace).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    connection = http.client.HTTPSConnection(cluster["server"].removeprefix("https://"), timeout=30, context=context)
    connection.putrequest("PATCH", f"{packs_path(namespace)}/nobodys")
    headers = {"Authorization": f"Bearer {user['token']}", "Content-Type": MERGE, "Content-Length": "2"}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection
