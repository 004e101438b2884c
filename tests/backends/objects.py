"""An S3 server of one's own: the Versity gateway over a folder, where each object lies as a file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.gotools import build

_KEY, _SECRET = "packline", "a-secret-for-tests"


@dataclass
class ObjectServer:
    """A server that runs until it is stopped.

    Attributes:
        folder: Holds its buckets and what it knows about objects beside their content.
        program: The gateway.
        port: On loopback.
    """

    folder: Path
    program: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells every S3 client, s3fs among them, where it is and how to get in."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @contextmanager
    def bucket(self) -> Iterator[tuple[str, Path]]:
        """A bucket that is there for as long as the block: its URL, and the folder where its objects lie as files."""
        name = f"b{uuid4().hex[:16]}"
        folder = self.folder / "buckets" / name
        folder.mkdir()
        try:
            yield f"s3://{name}", folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        for name in ("buckets", "sidecar"):
            (self.folder / name).mkdir(exist_ok=True)
        command = [str(self.program), "--access", _KEY, "--secret", _SECRET, "--port", f"127.0.0.1:{self.port}"]
        command += ["--quiet", "posix", "--sidecar", str(self.folder / "sidecar"), str(self.folder / "buckets")]
        with (self.folder / "log").open("ab") as log:
            # It ends when the tests do, however they end.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        for _ in range(600):
            assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def stop(self) -> None:
        """Kills it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def running_object_server() -> Iterator[ObjectServer]:
    """Starts a server, and removes all of it afterwards."""
    program = build(Path(__file__).parent, "github.com/versity/versitygw/cmd/versitygw")
    folder = Path(tempfile.mkdtemp(prefix="packline-s3-"))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    server = ObjectServer(folder, program, port)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
