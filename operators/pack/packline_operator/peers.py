"""Clients of training and monitoring, through the fleet's ingress. Every call has a deadline; errors are core's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

import grpc
from packline.monitoring.v1 import monitoring_pb2 as monitoring
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline.training.v1 import training_pb2 as training
from packline.training.v1.training_pb2_grpc import RegistryServiceStub, RunServiceStub
from packline_core.config import MONITORING_APPLICATION, TRAINING_APPLICATION
from packline_core.errors import NotFound
from packline_core.rpc import error_from_call, open_channel

from packline_operator import convert
from packline_operator.domain import Decide, StartRun
from packline_operator.facts import Figures, Registry, Replica

_T = TypeVar("_T")
_READ_SECONDS = 10.0
# Registering builds the base model's bundle; forgetting removes files.
_WRITE_SECONDS = 180.0
_NEWEST = 100
_PACK_NOT_FOUND = "PACK_NOT_FOUND"


class Training:
    """The training service.

    Args:
        address: `host:port` of the fleet's ingress.
    """

    def __init__(self, address: str) -> None:
        # A pass that failed is followed by the next: retries below it would only make it late.
        self._channel = open_channel(address, TRAINING_APPLICATION, retries=False)
        self._registry = RegistryServiceStub(self._channel)
        self._runs = RunServiceStub(self._channel)

    def close(self) -> None:
        """Gives the channel back."""
        self._channel.close()

    def registry(self, pack: str) -> Registry | None:
        """What it knows of a Pack; None where it does not know it."""
        try:
            state = _call(self._registry.GetPack, training.GetPackRequest(pack=pack), _READ_SECONDS)
            # After the state, so that nothing in the lists is older than it.
            versions = training.ListVersionsRequest(pack=pack, limit=_NEWEST)
            runs = training.ListRunsRequest(pack=pack, limit=_NEWEST)
            decisions = training.ListDecisionsRequest(pack=pack, limit=_NEWEST)
            return convert.registry(
                state,
                _call(self._registry.ListVersions, versions, _READ_SECONDS),
                _call(self._runs.ListRuns, runs, _READ_SECONDS),
                _call(self._registry.ListDecisions, decisions, _READ_SECONDS),
            )
        except NotFound as error:
            if error.reason != _PACK_NOT_FOUND:
                raise
            return None

    def register(self, pack: str, manifest_json: str) -> None:
        """Makes a Pack or its changed manifest known."""
        request = training.RegisterPackRequest(pack=pack, manifest_json=manifest_json)
        _call(self._registry.RegisterPack, request, _WRITE_SECONDS)

    def start_run(self, pack: str, run: StartRun) -> None:
        """Starts a run, unless one of that id exists."""
        request = training.StartRunRequest(
            pack=pack, run_id=run.run_id, kind=convert.run_kind(run.kind), reason=run.reason, version=run.version
        )
        _call(self._runs.StartRun, request, _WRITE_SECONDS)

    def decide(self, pack: str, decision: Decide) -> None:
        """Makes a decision; raises `Conflict` where the Pack's revision has changed."""
        request = training.DecideRequest(
            pack=pack,
            decision_id=decision.decision_id,
            expected_revision=decision.expected_revision,
            kind=convert.decision_kind(decision.kind),
            version=decision.version,
            step=decision.step,
            weight=decision.weight,
            reject_active=decision.reject_active,
            reason=str(decision.reason),
            message=decision.message,
        )
        _call(self._registry.Decide, request, _WRITE_SECONDS)

    def forget(self, pack: str) -> None:
        """Forgets a Pack; nothing where it is not known."""
        _forget(self._registry.ForgetPack, training.ForgetPackRequest(pack=pack))


class Monitoring:
    """The monitoring service.

    Args:
        address: `host:port` of the fleet's ingress.
    """

    def __init__(self, address: str) -> None:
        self._channel = open_channel(address, MONITORING_APPLICATION, retries=False)
        self._stub = MonitoringServiceStub(self._channel)

    def close(self) -> None:
        """Gives the channel back."""
        self._channel.close()

    def figures(self, pack: str, since: datetime) -> tuple[Mapping[str, Figures], int]:
        """Each version's figures from `since` on, and the Pack's corrections in all time."""
        request = monitoring.CompareVersionsRequest(pack=pack, since=convert.timestamp(since))
        answer = _call(self._stub.CompareVersions, request, _READ_SECONDS)
        return convert.figures(answer), answer.corrections_total

    def replicas(self, pack: str) -> tuple[Replica, ...]:
        """What a Pack's replicas last reported."""
        request = monitoring.ListReplicasRequest(pack=pack)
        answer = _call(self._stub.ListReplicas, request, _READ_SECONDS)
        return tuple(convert.replica(message) for message in answer.replicas)

    def forget(self, pack: str) -> None:
        """Forgets a Pack; nothing where it is not known."""
        _forget(self._stub.ForgetPack, monitoring.ForgetPackRequest(pack=pack))


def _call(method: Callable[..., _T], request: Any, seconds: float) -> _T:
    try:
        return method(request, timeout=seconds)
    except grpc.RpcError as error:
        raise error_from_call(error) from None


def _forget(method: Callable[..., Any], request: Any) -> None:
    try:
        _call(method, request, _WRITE_SECONDS)
    except NotFound as error:
        if error.reason != _PACK_NOT_FOUND:
            raise
