"""What holds of every Pack, whatever was done to the platform: its whole history is read, and none of it is excused.

One version answers, none is promoted twice, and none that was rejected comes back.
"""

from __future__ import annotations

from typing import Any

import grpc
import yaml
from packline.training.v1 import training_pb2 as training

from tests.cluster.cluster_platform import ClusterPlatform


def check_promises(platform: ClusterPlatform) -> None:
    """Of all Packs of the namespace that training knows.

    Raises:
        AssertionError: One is broken; the message names the Pack.
    """
    for pack in platform.bed.get("packs", "-n", platform.namespace)["items"]:
        name = pack["metadata"]["name"]
        try:
            rejected = _check_history(platform, name)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            continue
        # What was decided last may still be on its way to the fleet.
        platform.wait(lambda name=name, rejected=rejected: not _served(platform, name) & rejected, f"{name}: rejected")


def _check_history(platform: ClusterPlatform, name: str) -> set[str]:
    """Plays the decisions again, from v1 on; returns the digests that were rejected."""
    state, decisions = platform.state(name), platform.decisions(name)
    with platform.registry() as stub:
        versions = stub.ListVersions(training.ListVersionsRequest(pack=name, limit=100), timeout=30).versions
    rejected = {one.version for one in versions if one.state == training.VERSION_STATE_REJECTED}
    active, promoted, gone = "v1", set[str](), set[str]()
    for decision in decisions:
        assert decision.version not in gone, f"{name}: {decision.version} was rejected and returns: {decisions}"
        if decision.kind == training.DECISION_KIND_PROMOTE:
            assert decision.version not in promoted, f"{name}: {decision.version} is promoted twice: {decisions}"
            promoted.add(decision.version)
            active = decision.version
        elif decision.kind == training.DECISION_KIND_ROLL_BACK:
            gone |= {active} & rejected
            active = decision.version
        elif decision.kind == training.DECISION_KIND_REJECT:
            gone.add(decision.version)
    assert gone == rejected, f"{name}: {gone} were rejected, and {rejected} are"
    answers = [one.version for one in versions if one.state == training.VERSION_STATE_ACTIVE]
    assert answers == [state.active.version] == [active], f"{name}: {answers} are active after {decisions}"
    digests = {one.digest for one in versions if one.version in rejected}
    assert not {state.active.digest, state.candidate.digest} & digests, f"{name}: {state}"
    return digests


def _served(platform: ClusterPlatform, name: str) -> set[str]:
    """The digests that its application is to hold; there is always an active one."""
    applications: list[dict[str, Any]] = yaml.safe_load(platform.serve_config())["applications"]
    (config,) = [one["deployments"][0]["user_config"] for one in applications if one["name"] == name]
    assert config["active"]["digest"], f"{name}: {config}"
    return {config["active"]["digest"], (config["candidate"] or {}).get("digest", "")}
