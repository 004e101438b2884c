"""A real Kubernetes control plane on loopback, for tests and benchmarks: `with Bed(folder) as bed: bed.start_api()`.

Its parts start on demand: the API alone (etcd, kube-apiserver) answers within seconds; `start_nodes` adds the
controllers, the scheduler and kwok's nodes; `kuberay(namespace)` adds KubeRay's operator for one namespace. RBAC, CEL
and Pod Security work as everywhere. What no part of it does: run a container. kwok says that pods run.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.assets import find_assets
from tests.cluster.commands import Commands
from tests.cluster.nodes import Node
from tests.cluster.parts import CommandFailed, NotReady, Part, free_ports
from tests.cluster.waiting import wait


@dataclass
class Bed:
    """One control plane.

    Args:
        folder: For data, certificates, kubeconfigs and logs; empty or absent.
        flags: Further flags of kube-apiserver.

    Attributes:
        running: All of this process, so that a failed test can show their logs.
    """

    running: ClassVar[list[Bed]] = []

    folder: Path
    flags: tuple[str, ...] = ()
    _parts: dict[str, Part] = field(default_factory=dict)
    _environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Bed:
        self.folder.mkdir(parents=True, exist_ok=True)
        api, etcd, peer, self._probe = free_ports(4)
        self._commands = Commands(find_assets(), self.folder, api, etcd, peer)
        self._token = secrets.token_hex(16)
        self._write_secrets()
        self.admin = self._write_kubeconfig("admin", self._token)
        homes = {f"HELM_{kind}_HOME": str(self.folder / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {"KUBECACHEDIR": str(self.folder / "kube"), **homes}
        Bed.running.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        Bed.running.remove(self)
        for part in reversed(self._parts.values()):
            # Nothing of it is needed any more, so nobody waits for an orderly end.
            part.kill()

    # Parts.

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://127.0.0.1:{self._commands.api}"

    @property
    def version(self) -> str:
        """The API server's."""
        return str(json.loads(self.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"])

    def start_api(self) -> None:
        """etcd and kube-apiserver."""
        self._part("etcd", self._commands.run_etcd()).start()
        self._part("kube-apiserver", self._commands.run_api(*self.flags), self._api_ready).start()

    def start_controllers(self) -> None:
        """The API and kube-controller-manager: service accounts, garbage collection, the end of namespaces."""
        self.start_api()
        self._part("kube-controller-manager", self._commands.run_controllers()).start()

    def start_nodes(self, *nodes: Node) -> None:
        """The controllers, kube-scheduler and kwok, with `nodes` registered; those that exist already stay."""
        self.start_controllers()
        known = self.kubectl("get", "nodes", "-o", "name").split()
        for node in nodes:
            if f"node/{node.name}" not in known:
                self.kubectl("create", "-f", "-", stdin=json.dumps(node.manifest()))
        self._part("kube-scheduler", self._commands.run_scheduler()).start()
        self._part("kwok", self._commands.run_kwok()).start()
        if nodes:
            self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"node/{node.name}" for node in nodes))

    def install_kuberay_crds(self) -> None:
        """RayCluster, RayCronJob, RayJob, RayService; what there is stays."""
        for path in sorted(self._commands.assets.crds.glob("*.yaml")):
            name = f"{path.stem.removeprefix('ray.io_')}.ray.io"
            if not self.kubectl("get", "crd", name, "--ignore-not-found", "-o", "name"):
                # They are large: applied or validated by kubectl they take five times as long.
                self.kubectl("create", "--validate=false", "-f", str(path))
        # `kubectl wait` fails on one that has no conditions yet.
        wait(lambda: self.kubectl("get", "rayservices", "-A") is not None, "RayServices are served")

    @contextmanager
    def kuberay(self, namespace: str, **environment: str) -> Iterator[Part]:
        """KubeRay's operator, which sees that one namespace alone; other tests' RayServices stay as they are."""
        self.install_kuberay_crds()
        command = self._commands.run_kuberay(namespace, self._probe)
        environment |= {"KUBECONFIG": str(self.admin), "POD_NAMESPACE": namespace}
        part = self._part("kuberay", command, lambda: _answers(self._probe, "/readyz"), environment)
        part.command, part.environment = command, environment
        part.start()
        try:
            yield part
        finally:
            part.stop()

    def kill_api(self) -> None:
        """Ends kube-apiserver as a power cut would; etcd stays."""
        self._parts["kube-apiserver"].kill()

    def restart_api(self) -> None:
        """Kills kube-apiserver, if it runs, and starts it again: at the same address, with the same data."""
        self.kill_api()
        self._parts["kube-apiserver"].start()

    def logs(self, characters: int = 1500) -> str:
        """The end of every part's log."""
        return "\n".join(f"--- {name}\n{part.tail(characters)}" for name, part in self._parts.items())

    # What its users do.

    def kubectl(self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
        """Runs kubectl, as administrator where no other kubeconfig is given; returns its stdout.

        Raises:
            subprocess.CalledProcessError: It failed; `stderr` holds its words.
        """
        return self._run("kubectl", arguments, stdin, kubeconfig)

    def helm(self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
        """As `kubectl`, but helm."""
        return self._run("helm", arguments, stdin, kubeconfig)

    def get(self, *arguments: str) -> Any:
        """What `kubectl get ARGUMENTS -o json` gives, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def apply(self, *objects: Mapping[str, Any], manager: str = "kubectl") -> None:
        """`kubectl apply --server-side` of objects."""
        options = ("--server-side", f"--field-manager={manager}")
        self.kubectl("apply", *options, "-f", "-", stdin=yaml.safe_dump_all(objects))

    def create_namespace(self, name: str, **labels: str) -> str:
        """Makes a namespace with its `default` service account; returns its name."""
        metadata = {"name": name, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        if "kube-controller-manager" not in self._parts:
            # Else the controllers make it.
            account = {"name": "default", "namespace": name}
            self.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        return name

    def kubeconfig(self, service_account: str, namespace: str) -> Path:
        """A kubeconfig of a service account (by TokenRequest): whoever uses it may do what RBAC grants, no more."""
        token = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=12h").strip()
        return self._write_kubeconfig(f"{namespace}-{service_account}", token, namespace)

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """The variables of a process that is to find this control plane."""
        return {**os.environ, **self._environment, "KUBECONFIG": str(kubeconfig or self.admin)}

    def _run(self, program: str, arguments: tuple[str, ...], stdin: str, kubeconfig: Path | None) -> str:
        done = subprocess.run(
            [str(self._commands.assets[program]), *arguments],
            env=self.environment(kubeconfig),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(done.returncode, [program, *arguments], done.stdout, done.stderr)
        return done.stdout

    # Files and commands.

    def _part(
        self, name: str, command: list[str], ready: Any = lambda: True, environment: Mapping[str, str] | None = None
    ) -> Part:
        if name not in self._parts:
            self._parts[name] = Part(name, command, self.folder, ready, environment or {})
        return self._parts[name]

    def _write_secrets(self) -> None:
        self._commands.tokens.write_text(f"{self._token},admin,admin,system:masters\n")
        key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        self._commands.accounts_key.write_bytes(key)

    def _write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        cluster = {"server": self.server, "certificate-authority": str(self._commands.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": "bed", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": "bed", "user": name, "namespace": namespace}}],
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def _api_ready(self) -> bool:
        if not self._commands.certificate.exists():
            return False
        context = ssl.create_default_context(cafile=str(self._commands.certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", self._commands.api, timeout=5, context=context)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self._token}"})
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


__all__ = ["Bed", "CommandFailed", "Node", "NotReady"]
