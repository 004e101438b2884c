"""Who is blamed for a dead replica, with real processes that really die."""

import subprocess
import sys
from pathlib import Path

from packline_core.serving.quarantine import Quarantine

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64

OPEN = """
import os, signal, sys
from pathlib import Path
from packline_core.serving.quarantine import Quarantine
quarantine = Quarantine(Path(sys.argv[1]))
for part in sys.argv[2:]:
    digest, role = part.split("=")
    quarantine.opening(digest, role)
os.kill(os.getpid(), signal.SIGKILL)
"""

# A parent that is gone before its child dies: the node's fleet went down with the replica.
ORPHAN = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]]).wait()
"""


def die_holding(folder: Path, **roles: str) -> None:
    names = {"a": A, "b": B}
    arguments = [str(folder), *(f"{names[name]}={role}" for name, role in roles.items())]
    subprocess.run([sys.executable, "-c", OPEN, *arguments], check=False)


def test_the_candidate_of_a_dead_replica_is_blamed(tmp_path: Path) -> None:
    die_holding(tmp_path, a="active", b="candidate")
    quarantine = Quarantine(tmp_path)
    assert quarantine.settle() == [B]
    assert quarantine.reason(B) and quarantine.reason(A) is None
    assert quarantine.settle() == []
    assert Quarantine(tmp_path).reason(B), "it is on disk"


def test_active_is_blamed_at_the_third_death_in_ten_minutes(tmp_path: Path) -> None:
    now = [0.0]
    quarantine = Quarantine(tmp_path, lambda: now[0])
    for at, expected in ((0, []), (700, []), (800, []), (900, [A])):
        now[0] = at
        die_holding(tmp_path, a="active")
        assert quarantine.settle() == expected


def test_nobody_is_blamed_where_the_whole_node_went_down(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", ORPHAN, OPEN, str(tmp_path), f"{B}=candidate"], check=True)
    quarantine = Quarantine(tmp_path)
    assert quarantine.settle() == []
    assert quarantine.reason(B) is None
    assert list(tmp_path.glob("open-*")) == []


def test_a_living_replica_and_a_closed_bundle_blame_nobody(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    quarantine.opening(A, "candidate")
    assert quarantine.settle() == []
    quarantine.clear(A)
    assert list(tmp_path.glob("open-*")) == []


def test_a_torn_marker_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "open-x-1.json").write_text('{"digest"')
    assert Quarantine(tmp_path).settle() == []
