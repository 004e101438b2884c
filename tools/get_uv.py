"""Puts uv into .tools/, with nothing but Python's standard library: a fresh Debian has Python but neither pip nor uv.

pip is used where it works, since it knows the machine's package index; otherwise the wheel is read from PyPI directly.
"""

import io
import json
import platform
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

VERSION = "0.13.8"
TARGET = Path(__file__).parent.parent / ".tools" / "uv"


def with_pip() -> bool:
    """Installs by pip; False where there is no pip or it failed."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(TARGET), f"uv=={VERSION}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def from_wheel() -> None:
    """Downloads uv's wheel, which holds the binary, and unpacks that."""
    with urllib.request.urlopen(f"https://pypi.org/pypi/uv/{VERSION}/json") as answer:
        files = json.load(answer)["urls"]
    machine = platform.machine()
    url = next(f["url"] for f in files if "manylinux" in f["filename"] and f["filename"].endswith(f"{machine}.whl"))
    with urllib.request.urlopen(url) as answer, zipfile.ZipFile(io.BytesIO(answer.read())) as wheel:
        binary = wheel.read(f"uv-{VERSION}.data/scripts/uv")
    path = TARGET / "bin" / "uv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(binary)
    path.chmod(0o755)


if __name__ == "__main__":
    if not with_pip():
        from_wheel()
