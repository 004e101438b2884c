"""Bad bundles on a real fleet: refused with the reason, quarantined where they kill; active never blinks."""

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
from packline.monitoring.v1 import monitoring_pb2 as pb
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline_core.bundle import Bundle
from packline_core.config import MONITORING_APPLICATION
from packline_core.rpc import call_metadata
from packline_core.serving.config import Candidate
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, candidate_of, echo_pack
from packline_echo.load import EchoLoad

PACK = "bad-bundles"
OFFSETS = count(10.0)  # each damaged bundle has a digest that was never refused before


@pytest.fixture(scope="module")
def good(fleet: RunningFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    bundle = write_bundle(tmp_path_factory.mktemp("good") / "v1", offset=1.0)
    fleet.put(echo_pack(PACK, bundle, recording=True))
    yield bundle
    fleet.remove(PACK, wait=False)


def candidate_slot(fleet: RunningFleet, digest: str, states: set[int], *, reason: bool = False) -> pb.Slot:
    """What the replica says of the candidate, once it is in one of the states (and says why)."""
    end = time.monotonic() + 120
    while True:
        with fleet.channel(retries=True) as channel:
            answer = MonitoringServiceStub(channel).ListReplicas(
                pb.ListReplicasRequest(pack=PACK), metadata=call_metadata(MONITORING_APPLICATION)
            )
        running = {replica.replica_id for replica in fleet.api.applications()[PACK].running}
        for replica in answer.replicas:
            slot = replica.candidate
            known = replica.replica_id in running and slot.digest == digest
            if known and slot.state in states and (slot.reason or not reason):
                return slot
        assert time.monotonic() < end, f"never so; last: {answer}"
        time.sleep(0.2)


def damaged(folder: Path, damage: Callable[[Path], object]) -> Candidate:
    candidate = candidate_of(write_bundle(folder, offset=next(OFFSETS)))
    damage(folder)
    return candidate


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(os.urandom(300)), "FILE_"),
        (lambda folder: os.truncate(folder / "model.onnx", 40), "FILE_TRUNCATED"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "DIGEST_MISMATCH"),
        (shutil.rmtree, "FILE_MISSING"),
    ],
    ids=["corrupt", "truncated", "manifest", "missing"],
)
def test_a_damaged_bundle_is_refused_and_active_never_blinks(
    fleet: RunningFleet, good: Bundle, tmp_path: Path, damage: Callable[[Path], object], reason: str
) -> None:
    candidate = damaged(tmp_path / "v2", damage)
    with EchoLoad(fleet.settings.address, PACK, clients=2) as load:
        fleet.change(PACK, candidate=candidate)
        slot = candidate_slot(fleet, candidate.digest, {pb.SLOT_STATE_REFUSED})
    assert slot.reason.startswith(reason) and slot.message
    assert load.failures == [] and load.versions() == ["v1"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"input_name": "other"}, "SIGNATURE_MISMATCH"),
        ({"fault": "kill_at_load"}, "PREFLIGHT_CRASHED"),
    ],
    ids=["signature", "kills-its-process"],
)
def test_preflight_keeps_a_bad_bundle_from_the_replica(
    fleet: RunningFleet, good: Bundle, tmp_path: Path, options: Any, reason: str
) -> None:
    candidate = candidate_of(write_bundle(tmp_path / "v2", offset=4.0, **options), weight=50)
    (before,) = fleet.api.applications()[PACK].running
    with EchoLoad(fleet.settings.address, PACK, clients=2) as load:
        fleet.change(PACK, candidate=candidate)
        slot = candidate_slot(fleet, candidate.digest, {pb.SLOT_STATE_REFUSED})
    assert slot.reason == reason
    assert load.failures == [] and load.versions() == ["v1"]
    (after,) = fleet.api.applications()[PACK].running
    assert (after.replica_id, after.pid) == (before.replica_id, before.pid), "the replica is the same process"


@pytest.mark.parametrize("fault", ["kill_at_load_in_replica", "kill_at_call"])
def test_a_candidate_that_kills_its_replica_is_quarantined(
    fleet: RunningFleet, good: Bundle, tmp_path: Path, fault: Any
) -> None:
    candidate = candidate_of(write_bundle(tmp_path / "v2", offset=4.0, fault=fault), weight=50)
    (before,) = fleet.api.applications()[PACK].running
    with EchoLoad(fleet.settings.address, PACK, clients=2, retries=True) as load:
        fleet.change(PACK, candidate=candidate)
        slot = candidate_slot(fleet, candidate.digest, {pb.SLOT_STATE_QUARANTINED})
        healed = time.monotonic()
        time.sleep(2)
    assert "died" in slot.message
    (after,) = fleet.api.applications()[PACK].running
    assert after.pid != before.pid and before.pid and not psutil.pid_exists(before.pid)
    late = [failure for sent, failure in load.failures if sent > healed]
    assert late == [] and {answer.version for answer in load.answers if answer.sent > healed} == {"v1"}


def test_a_full_disk_is_reported_and_mends_itself(fleet: RunningFleet, good: Bundle, tmp_path: Path) -> None:
    """The replica's own process is given no room for larger files; then it is given some."""
    (replica,) = fleet.api.applications()[PACK].running
    assert replica.pid is not None
    candidate = candidate_of(write_bundle(tmp_path / "v2", depth=1))  # its matrix has 256 KiB
    before = resource.prlimit(replica.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, (128 << 10, before[1]))
    try:
        with EchoLoad(fleet.settings.address, PACK, clients=2) as load:
            fleet.change(PACK, candidate=candidate)
            slot = candidate_slot(fleet, candidate.digest, {pb.SLOT_STATE_LOADING, pb.SLOT_STATE_REFUSED}, reason=True)
    finally:
        resource.prlimit(replica.pid, resource.RLIMIT_FSIZE, before)
    assert slot.reason == "STORAGE_FULL" and "no room" in slot.message
    assert load.failures == [] and load.versions() == ["v1"]
    candidate_slot(fleet, candidate.digest, {pb.SLOT_STATE_READY})
