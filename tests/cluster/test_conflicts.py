"""409 from a real API server: the operator writes on what it last saw, and somebody else wrote in between."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from packline_core.errors import Conflict
from packline_operator.kubernetes.cache import PACKS, Cache
from packline_operator.kubernetes.source import FINALIZER, ClusterSource, packs_path

from tests.cluster.bed import Bed
from tests.cluster.packs import api_of, install_crd, manifest

pytestmark = [pytest.mark.cluster]
ANOTHERS = "example.com/backup"


@dataclass
class Late:
    """An operator's source of Packs whose watch tells nothing until `see`."""

    bed: Bed
    namespace: str

    def __post_init__(self) -> None:
        self.api, self.cache = api_of(self.bed), Cache()
        self.source = ClusterSource(self.api, self.cache, self.namespace, "operator-0")

    def see(self) -> None:
        items, version = self.api.list(packs_path(self.namespace))
        self.cache.replace(PACKS, items, version, self.namespace)

    def set_finalizers(self, *names: str) -> None:
        """As somebody else."""
        patch = json.dumps({"metadata": {"finalizers": names}})
        self.bed.kubectl("patch", "pack", "p", "-n", self.namespace, "--type=merge", "-p", patch)

    @property
    def finalizers(self) -> list[str]:
        return list(self.bed.get("pack", "p", "-n", self.namespace)["metadata"].get("finalizers", []))


@pytest.fixture
def late(cluster: Bed, namespace: str) -> Late:
    """It has seen the Pack `p` as it was applied."""
    install_crd(cluster, "echo")
    cluster.apply(manifest("p", namespace))
    late = Late(cluster, namespace)
    late.see()
    return late


def test_anothers_finalizer_is_not_lost(late: Late) -> None:
    late.set_finalizers(ANOTHERS)
    (declared,) = late.source.declared()
    assert declared.manifest is None and "the object has been modified" in declared.unreadable
    assert late.finalizers == [ANOTHERS], "the Pack is not held, so nothing is made for it"

    late.see()
    (declared,) = late.source.declared()
    assert declared.manifest is not None
    assert late.finalizers == [ANOTHERS, FINALIZER]

    late.set_finalizers(FINALIZER)
    with pytest.raises(Conflict):
        late.source.remove("p")
    assert late.finalizers == [FINALIZER], "nobody's word is overwritten, and the next pass tries again"
    late.see()
    late.source.remove("p")
    assert late.finalizers == []


def test_the_next_of_the_same_name_is_told_nothing_of_the_last(late: Late) -> None:
    where = ("-n", late.namespace)
    late.bed.kubectl("delete", "pack", "p", *where)
    late.source.write_status("p", {"phase": "Idle", "observedGeneration": 1})
    assert late.bed.get("packs", *where)["items"] == [], "a status makes no Pack"
    late.bed.apply(manifest("p", late.namespace))
    late.source.write_status("p", {"phase": "Idle", "observedGeneration": 1})
    assert "status" not in late.bed.get("pack", "p", *where)
    late.see()
    late.source.write_status("p", {"phase": "Idle", "observedGeneration": 1})
    assert late.bed.get("pack", "p", *where)["status"]["phase"] == "Idle"
