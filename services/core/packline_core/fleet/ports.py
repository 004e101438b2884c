"""Ports of one installation: a block of its own, so that several can run on one machine.

Ray Serve shares a port between processes rather than refuse it (SO_REUSEPORT), so two installations whose replicas drew
from one range could answer each other's calls. Each fleet therefore claims a block; the block's first port is bound as
long as the fleet lives, and so says that the block is taken.
"""

import socket
from dataclasses import dataclass

from packline_core.errors import Unavailable

_FIRST, _LAST = 20_000, 32_000  # below the kernel's ephemeral range
_FIXED = 12
_REPLICAS = 150
BLOCK = _FIXED + 2 * _REPLICAS


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a fleet listens.

    Attributes:
        grpc: The gRPC ingress.
        dashboard: Ray's REST API.
        block: First of the block of `BLOCK` ports that hold everything else.
    """

    grpc: int
    dashboard: int
    block: int

    @property
    def agent(self) -> int:
        """Ray's agent; bound from the start, it marks the block as taken."""
        return self.block

    @property
    def gcs(self) -> int:
        """Ray's control store."""
        return self.block + 1

    @property
    def http(self) -> int:
        """Serve's HTTP ingress, of which Packline makes no use."""
        return self.block + 2

    @property
    def proxy_stats(self) -> int:
        """HAProxy's own page of figures."""
        return self.block + 3

    @property
    def proxy_metrics(self) -> int:
        """HAProxy's Prometheus metrics."""
        return self.block + 4

    @property
    def metrics(self) -> int:
        """Prometheus metrics of Ray, Serve and the replicas."""
        return self.block + 5

    @property
    def fallback_http(self) -> int:
        """Serve's Python proxy, to which HAProxy turns where it knows no replica."""
        return self.block + 9

    @property
    def fallback_grpc(self) -> int:
        """The same for gRPC. Serve's own 9500 is every fleet's: one's calls would reach another's services."""
        return self.block + 10

    @property
    def replica_http(self) -> tuple[int, int]:
        """First and one past the last of the replicas' HTTP ports."""
        return self.block + _FIXED, self.block + _FIXED + _REPLICAS

    @property
    def replica_grpc(self) -> tuple[int, int]:
        """First and one past the last of the replicas' gRPC ports."""
        return self.block + _FIXED + _REPLICAS, self.block + BLOCK


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nothing listens there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_ports(grpc: int, dashboard: int, seed: int = 0) -> Ports:
    """Claims a free block; `grpc` and `dashboard` are kept where they are free and lie in the block otherwise.

    Args:
        grpc: The ingress port that is wanted; 0 for any.
        dashboard: The REST port that is wanted; 0 for any.
        seed: Where to begin the search, so that one installation mostly finds its old block again.

    Raises:
        Unavailable: Every block is taken.
    """
    count = (_LAST - _FIRST) // BLOCK
    for step in range(count):
        block = _FIRST + BLOCK * ((seed + step) % count)
        if all(is_free(block + offset) for offset in range(_FIXED)):
            return Ports(
                grpc=grpc if grpc and is_free(grpc) else block + 6,
                dashboard=dashboard if dashboard and is_free(dashboard) else block + 7,
                block=block,
            )
    raise Unavailable(f"no {BLOCK} free ports in a row between {_FIRST} and {_LAST}", reason="NO_FREE_PORTS")
