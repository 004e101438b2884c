"""Generates the Python stubs beside the protos whenever the distribution is built (an editable install included)."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):  # type: ignore[type-arg]
    """Runs protoc with the Python, gRPC and typing plug-ins over every .proto."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Writes `*_pb2.py`, `*_pb2_grpc.py` and their `.pyi` files; raises where protoc refuses a file."""
        from grpc_tools import protoc

        root = Path(self.root)
        include = Path(protoc.__file__).parent / "_proto"
        protos = sorted(str(path.relative_to(root)) for path in root.glob("packline/**/*.proto"))
        out = [f"--{kind}_out={root}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        if protoc.main(["protoc", f"-I{root}", f"-I{include}", *out, *protos]) != 0:
            raise RuntimeError("protoc refused the protos; its message stands above")
