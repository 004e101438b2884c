"""Blocks of ports: two installations never share one."""

import socket

import pytest
from packline_core.errors import Unavailable
from packline_core.fleet import ports as module
from packline_core.fleet.ports import BLOCK, choose_ports, is_free


def test_a_taken_block_is_passed_over() -> None:
    first = choose_ports(0, 0, seed=3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.gcs))
        taken.listen()
        assert not is_free(first.gcs)
        second = choose_ports(0, 0, seed=3)
    assert second.block != first.block


def test_wanted_ports_are_kept_where_they_are_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.listen()
        assert choose_ports(port, 0).grpc != port
    assert choose_ports(port, 0).grpc == port


def test_nothing_overlaps() -> None:
    ports = choose_ports(0, 0)
    fixed = {ports.agent, ports.gcs, ports.http, ports.proxy_stats, ports.proxy_metrics, ports.metrics}
    fixed |= {ports.grpc, ports.dashboard, ports.fallback_http, ports.fallback_grpc}
    ranges = [*range(*ports.replica_http), *range(*ports.replica_grpc)]
    assert len(fixed) == 10 and len(set(ranges)) == len(ranges)
    assert not fixed & set(ranges)
    assert all(ports.block <= port < ports.block + BLOCK for port in [*fixed, *ranges])


def test_no_block_left_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_free", lambda port: False)
    with pytest.raises(Unavailable):
        choose_ports(0, 0)
