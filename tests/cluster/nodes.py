"""Nodes that kwok plays: what they offer, their labels and taints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        name: Its name.
        cpus: CPUs that it offers.
        memory_gib: Memory that it offers.
        gpus: NVIDIA GPUs that it offers.
        labels: Further labels.
        taints: Key -> value; who does not tolerate them is not scheduled there.
    """

    name: str
    cpus: int = 16
    memory_gib: int = 64
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Mapping[str, str] = field(default_factory=dict)

    def manifest(self) -> dict[str, Any]:
        """The object that a kubelet would register."""
        offered = {"cpu": str(self.cpus), "memory": f"{self.memory_gib}Gi", "ephemeral-storage": "500Gi", "pods": "110"}
        if self.gpus:
            offered[GPU] = str(self.gpus)
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
        taints = [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in self.taints.items()]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {**labels, **self.labels}},
            "spec": {"taints": taints},
            "status": {"capacity": offered, "allocatable": offered},
        }


CPU_NODE = Node("cpu-0", labels={"pool": "cpu"})
GPU_NODE = Node("gpu-0", gpus=4, labels={"pool": "gpu"}, taints={GPU: "present"})
