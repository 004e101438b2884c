"""Puts uv into .tools/, with nothing but Python's standard library: a fresh Debian has Python but neither pip nor uv.

pip is used where it works, since it knows the machine's package index; otherwise the wheel is read from PyPI directly.
"""

import hashlib
import io
import json
import platform
import subprocess
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.8"
INDEX = "https://pypi.org/simple/uv/"
TARGET = Path(__file__).parent.parent / ".tools" / "uv"


def with_pip() -> bool:
    """Installs by pip; False where there is no pip or it failed."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(TARGET), f"uv=={VERSION}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def from_wheel() -> None:
    """Downloads uv's wheel, checks it against the index's sha256 and unpacks the binary that it holds."""
    request = urllib.request.Request(INDEX, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request) as answer:
        files = json.load(answer)["files"]
    prefix, machine = f"uv-{VERSION}-py3-none-manylinux", platform.machine()
    wheel = next(f for f in files if f["filename"].startswith(prefix) and machine in f["filename"])
    with urllib.request.urlopen(urllib.parse.urljoin(INDEX, wheel["url"])) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != wheel["hashes"]["sha256"]:
        raise SystemExit(f"{wheel['filename']} is not what the index says it is; try again")
    path = TARGET / "bin" / "uv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        path.write_bytes(archive.read(f"uv-{VERSION}.data/scripts/uv"))
    path.chmod(0o755)


if __name__ == "__main__":
    if not with_pip():
        from_wheel()
