"""Versions change under load on a real fleet: no call fails, and no answer names a version that did not give it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from packline.echo.v1.echo_pb2 import EchoRequest
from packline.monitoring.v1.monitoring_pb2 import (
    SLOT_STATE_READY,
    CompareVersionsRequest,
    ListReplicasRequest,
    Replica,
    VersionFigures,
)
from packline.monitoring.v1.monitoring_pb2_grpc import MonitoringServiceStub
from packline_core.bundle import Bundle
from packline_core.config import MONITORING_APPLICATION
from packline_core.rpc import call_metadata
from packline_echo.bundles import write_bundle
from packline_echo.fleet import RunningFleet, candidate_of, echo_pack, version_of
from packline_echo.load import EchoLoad

FIGURES = VersionFigures()
OFFSETS = {"v1": 1.0, "v2": 2.0, "v3": 3.0}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    return {name: write_bundle(folder / name, offset=offset) for name, offset in OFFSETS.items()}


@pytest.fixture(scope="module")
def swapped(fleet: RunningFleet, bundles: dict[str, Bundle]) -> Iterator[str]:
    name = "swapped"
    fleet.put(echo_pack(name, bundles["v1"], replicas=2, recording=True))
    yield name
    fleet.remove(name, wait=False)


@pytest.fixture
def pack(fleet: RunningFleet, swapped: str, bundles: dict[str, Bundle]) -> str:
    """A Pack with two replicas that serve v1 and have no candidate."""
    fleet.change(swapped, active=version_of(bundles["v1"]), candidate=None, wait=True)
    wait_until(lambda: all_ready(fleet, swapped, active=bundles["v1"]))
    return swapped


def replicas(fleet: RunningFleet, pack: str) -> list[Replica]:
    """What the replicas that Serve knows reported to monitoring."""
    running = {replica.replica_id for replica in fleet.api.applications()[pack].running}
    with fleet.channel(retries=True) as channel:
        answer = MonitoringServiceStub(channel).ListReplicas(
            ListReplicasRequest(pack=pack), metadata=call_metadata(MONITORING_APPLICATION)
        )
    return [replica for replica in answer.replicas if replica.replica_id in running]


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.1)


def all_ready(fleet: RunningFleet, pack: str, *, active: Bundle, candidate: Bundle | None = None) -> bool:
    reports = replicas(fleet, pack)
    wanted = len(fleet.api.applications()[pack].running)
    return len(reports) == wanted and all(
        (report.active.state, report.active.digest) == (SLOT_STATE_READY, active.digest)
        and (
            candidate is None
            or (report.candidate.state, report.candidate.digest) == (SLOT_STATE_READY, candidate.digest)
        )
        for report in reports
    )


def test_a_swap_under_load_fails_no_call_and_every_answer_names_its_version(
    fleet: RunningFleet, pack: str, bundles: dict[str, Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    v1, v2, v3 = (version_of(bundles[name], name) for name in OFFSETS)
    # From when on a version may answer, and until when: from the request of a change to its completion both may.
    allowed: dict[str, list[float]] = {"v1": [0.0, 0.0]}
    with EchoLoad(fleet.settings.address, pack) as load:
        time.sleep(1.5)
        quiet = load.p99()
        swapping = time.monotonic()
        before = v1
        for version in (v2, v3, v1, v2):
            allowed.setdefault(version.version, [time.monotonic(), 0.0])
            fleet.change(pack, active=version)
            wait_until(lambda bundle=bundles[version.version]: all_ready(fleet, pack, active=bundle))  # type: ignore
            before = version
            time.sleep(0.3)
        assert before.version == "v2"
        last_swap = time.monotonic()
        time.sleep(1.0)
    with capsys.disabled():
        print(f"\nswap under load: {len(load.answers)} calls, p99 {quiet * 1000:.1f} ms before, ", end="")
        print(f"{load.p99(swapping) * 1000:.1f} ms during four swaps, {len(load.failures)} failed")
    assert load.failures == []
    assert load.versions() == ["v1", "v2", "v3"]
    for answer in load.answers:
        assert answer.offset == OFFSETS[answer.version], "values and name are of one version"
        assert answer.answered >= allowed[answer.version][0], "nobody answers before it was configured"
    assert {answer.version for answer in load.answers if answer.sent > last_swap} == {"v2"}


def test_a_canary_gets_its_share_and_a_key_stays(fleet: RunningFleet, pack: str, bundles: dict[str, Bundle]) -> None:
    fleet.change(pack, candidate=candidate_of(bundles["v2"], weight=30), wait=True)
    wait_until(lambda: all_ready(fleet, pack, active=bundles["v1"], candidate=bundles["v2"]))
    request = EchoRequest(pack=pack, values=[1.0])
    with fleet.echo() as stub:
        anonymous = [stub.Echo(request, metadata=call_metadata(pack)).model_version for _ in range(600)]
        keyed = {
            key: {stub.Echo(request, metadata=call_metadata(pack, key)).model_version for _ in range(4)}
            for key in (f"user-{n}" for n in range(100))
        }
        assert 120 < anonymous.count("v2") < 240
        assert all(len(versions) == 1 for versions in keyed.values())
        moved = {key for key, versions in keyed.items() if versions == {"v2"}}
        assert 10 < len(moved) < 50
        fleet.change(pack, candidate=candidate_of(bundles["v2"], weight=60), wait=True)
        for key in moved:
            assert stub.Echo(request, metadata=call_metadata(pack, key)).model_version == "v2"


def test_a_shadow_is_measured_and_never_seen(
    fleet: RunningFleet, pack: str, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    twin = write_bundle(tmp_path / "twin", offset=OFFSETS["v1"], base="chain")  # other digest, same answers
    calls = 60
    request = EchoRequest(pack=pack, values=[1.0, 2.0])
    for version, bundle, agreement in (("v2", bundles["v2"], 0.0), ("v3", twin, 1.0)):
        fleet.change(pack, candidate=candidate_of(bundle, version, shadow=True), wait=True)
        wait_until(lambda bundle=bundle: all_ready(fleet, pack, active=bundles["v1"], candidate=bundle))  # type: ignore
        since = Timestamp()
        since.GetCurrentTime()
        with fleet.echo() as stub:
            for _ in range(calls):
                answer = stub.Echo(request, metadata=call_metadata(pack))
                assert (answer.model_version, list(answer.values)) == ("v1", [2.0, 3.0])
                time.sleep(0.01)
        # A shadow's record may come a batch later than that of the call it shadows.
        found: dict[str, VersionFigures] = {}
        end = time.monotonic() + 120
        while (
            found.get("v1", FIGURES).requests < calls or found.get(version, FIGURES).shadow_requests < calls // 4
        ) and time.monotonic() < end:
            time.sleep(0.1)
            found = figures(fleet, pack, since)
        shadow = found[version]
        assert found["v1"].requests == calls
        assert (shadow.requests, shadow.shadow_errors) == (0, 0)
        assert calls // 4 <= shadow.shadow_requests <= calls
        assert shadow.agreement == pytest.approx(agreement)
        assert found["v1"].signals["mean"] == pytest.approx(2.5)


def figures(fleet: RunningFleet, pack: str, since: Timestamp) -> dict[str, VersionFigures]:
    """What monitoring has seen of each version."""
    with fleet.channel(retries=True) as channel:
        answer = MonitoringServiceStub(channel).CompareVersions(
            CompareVersionsRequest(pack=pack, since=since), metadata=call_metadata(MONITORING_APPLICATION)
        )
    return {version.model_version: version for version in answer.versions}


def test_another_pack_comes_and_goes_under_load(
    fleet: RunningFleet, pack: str, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    """HAProxy is reloaded whenever an application comes or goes; callers of others must not notice."""
    with EchoLoad(fleet.settings.address, pack, clients=4) as load:
        fleet.put(echo_pack("passer-by", bundles["v3"]))
        fleet.remove("passer-by")
        time.sleep(1)
    assert load.failures == []
    assert load.versions() == ["v1"]
