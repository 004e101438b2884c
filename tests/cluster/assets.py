"""The binaries of a control plane: built once from Go's module proxy, cached outside the tree, found again by content.

`python -m tests.cluster.assets` builds what is missing and prints where it lies.

`go.mod` names every version, and one module lets its binaries share compiled packages. KubeRay stands in a module of
its own, since it needs older libraries. `KUBEBUILDER_ASSETS`, where set, gives kube-apiserver, etcd and kubectl, as
envtest has it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.gotools import cache_folder, locked, run_go

_HERE = Path(__file__).parent
_KUBERAY_HERE = _HERE / "kuberay"
_KUBERAY = "github.com/ray-project/kuberay/ray-operator"
_KWOK = "sigs.k8s.io/kwok"
# As its `fast` profile has it.
_STAGES = ("node/fast/node-*.yaml", "node/heartbeat-with-lease/node-*.yaml", "pod/fast/pod-*.yaml")
_PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kwok": f"{_KWOK}/cmd/kwok",
    "kuberay": _KUBERAY,
    "helm": "helm.sh/helm/v4/cmd/helm",
}
_OF_ENVTEST = ("kube-apiserver", "etcd", "kubectl")
_FLAGS = ("-trimpath",)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assets:
    """Where the binaries lie.

    Attributes:
        binaries: Name -> path.
        crds: The folder of KubeRay's CRDs.
        stages: The folder of kwok's stages: what its nodes and pods go through.
    """

    binaries: Mapping[str, Path]
    crds: Path
    stages: Path

    def __getitem__(self, name: str) -> Path:
        return self.binaries[name]


def find_assets(tell: Callable[[str], None] = _log.info) -> Assets:
    """The binaries; builds those that are missing, which takes minutes.

    Args:
        tell: Gets a line for each one that is built.

    Raises:
        GoMissing: They have to be built and there is no network.
        RuntimeError: One does not build; the message holds Go's words.
    """
    folder = cache_folder() / "cluster" / _digest()
    given = os.environ.get("KUBEBUILDER_ASSETS")
    binaries = {name: folder / name for name in _PACKAGES}
    if given:
        binaries |= {name: Path(given) / name for name in _OF_ENVTEST if (Path(given) / name).is_file()}
    crds, stages = folder / "crds", folder / "stages"
    if not all(path.exists() for path in (crds, stages, *binaries.values())):
        with locked(folder):
            for name, path in binaries.items():
                if not path.is_file():
                    tell(f"builds {name} for the cluster's tests (once)")
                    _build(name, path)
            if not crds.is_dir():
                _copy(crds, _KUBERAY, "config/crd/bases", ("*.yaml",), _KUBERAY_HERE)
            if not stages.is_dir():
                _copy(stages, _KWOK, "kustomize/stage", _STAGES, _HERE)
    return Assets(binaries, crds, stages)


def _digest() -> str:
    parts = [path.read_bytes() for path in sorted(_HERE.rglob("go.*"))]
    return hashlib.sha256(b"\0".join([*parts, repr((_PACKAGES, _FLAGS)).encode()])).hexdigest()[:16]


def _build(name: str, path: Path) -> None:
    # Renamed at the end, since a build may be killed.
    package, part = _PACKAGES[name], path.with_suffix(".part")
    flags = (*_FLAGS, "-ldflags", _ldflags(), "-o", str(part))
    run_go("build", *flags, package, module=_KUBERAY_HERE if package == _KUBERAY else _HERE)
    part.rename(path)


def _copy(target: Path, module: str, folder: str, patterns: Sequence[str], here: Path) -> None:
    """Files of a module's source, flat."""
    source = Path(json.loads(run_go("mod", "download", "-json", module, module=here))["Dir"]) / folder
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for path in (path for pattern in patterns for path in source.glob(pattern)):
        # Not as they are: a module's files are read-only.
        (part / path.name).write_bytes(path.read_bytes())
    part.rename(target)


def _ldflags() -> str:
    """Without its version, kubectl and helm refuse the server as older than they support."""
    version = json.loads(run_go("list", "-m", "-json", "k8s.io/kubernetes", module=_HERE))["Version"]
    major, minor, _ = version.removeprefix("v").split(".")
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in told.items())


if __name__ == "__main__":
    print("\n".join(f"{name}: {path}" for name, path in find_assets(print).binaries.items()))
