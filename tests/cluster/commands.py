"""How each part of the control plane is started: its flags, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.assets import Assets

_ISSUER = "https://kubernetes.default.svc"


@dataclass(frozen=True, slots=True)
class Commands:
    """The command lines of one control plane.

    Attributes:
        assets: The binaries.
        folder: Of data, certificates and keys.
        api: Port of kube-apiserver.
        etcd: Port of etcd.
        etcd_peer: Port that etcd would speak with other members on.
    """

    assets: Assets
    folder: Path
    api: int
    etcd: int
    etcd_peer: int

    @property
    def certificate(self) -> Path:
        """Made by kube-apiserver itself at its first start; the same file holds the authority that signed it."""
        return self.folder / "certs" / "apiserver.crt"

    @property
    def tokens(self) -> Path:
        """Static tokens: who is administrator."""
        return self.folder / "tokens.csv"

    @property
    def accounts_key(self) -> Path:
        """Signs the tokens of service accounts."""
        return self.folder / "accounts.key"

    @property
    def admin(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    def run_etcd(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.etcd_peer}"
        return [
            str(self.assets["etcd"]),
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # A killed process loses nothing by it, only a killed machine would.
            "--unsafe-no-fsync",
        ]

    def run_api(self, *flags: str) -> list[str]:
        return [
            str(self.assets["kube-apiserver"]),
            f"--etcd-servers=http://127.0.0.1:{self.etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.api}",
            f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={self.tokens}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={self.accounts_key}",
            f"--service-account-signing-key-file={self.accounts_key}",
            "--service-cluster-ip-range=10.0.0.0/16",
            # The address of the `kubernetes` service may not be loopback, and nobody here asks for it.
            "--endpoint-reconciler-type=none",
            *flags,
        ]

    def run_controllers(self) -> list[str]:
        return [
            str(self.assets["kube-controller-manager"]),
            f"--kubeconfig={self.admin}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--root-ca-file={self.certificate}",
            f"--service-account-private-key-file={self.accounts_key}",
        ]

    def run_scheduler(self) -> list[str]:
        return [
            str(self.assets["kube-scheduler"]),
            f"--kubeconfig={self.admin}",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def run_kwok(self) -> list[str]:
        stages = [f"--config={path}" for path in sorted(self.assets.stages.iterdir())]
        return [str(self.assets["kwok"]), f"--kubeconfig={self.admin}", "--manage-all-nodes=true", *stages]

    def run_kuberay(self, namespace: str, probe: int) -> list[str]:
        return [
            str(self.assets["kuberay"]),
            f"--watch-namespace={namespace}",
            "--enable-leader-election=false",
            "--metrics-addr=0",
            f"--health-probe-bind-address=127.0.0.1:{probe}",
        ]
