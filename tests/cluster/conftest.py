"""One control plane for all tests of this folder; each has namespaces of its own in it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator, Iterator

import pytest

from tests.cluster.assets import Assets, find_assets
from tests.cluster.bed import Bed
from tests.cluster.nodes import CPU_NODE, GPU_NODE
from tests.gotools import GoMissing

_numbers = itertools.count(1)


@pytest.hookimpl
def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds what is missing before the first test, whose timeout it would exceed."""
    wanted = any("assets" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    try:
        find_assets(tell=reporter.write_line if reporter else print)
    except GoMissing as error:
        if os.environ.get("CI"):
            raise pytest.UsageError(f"CI has no control plane: {error}") from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [("control plane", bed.logs()) for bed in Bed.running]
    return report


@pytest.fixture(scope="session")
def assets() -> Assets:
    """The binaries of a control plane; skips where they can neither be found nor built."""
    try:
        return find_assets()
    except GoMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """The API alone: etcd and kube-apiserver. Controllers run once a test asks for `nodes`."""
    with Bed(tmp_path_factory.mktemp("cluster")) as bed:
        bed.start_api()
        yield bed


@pytest.fixture(scope="session")
def nodes(cluster: Bed) -> Bed:
    """The same with controllers, scheduler, kwok, a CPU node and a tainted one with four GPUs."""
    cluster.start_nodes(CPU_NODE, GPU_NODE)
    return cluster


@pytest.fixture
def namespace(cluster: Bed) -> Iterator[str]:
    """A namespace of the test's own."""
    name = cluster.create_namespace(f"test-{next(_numbers)}")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
