"""What fixes a dataset: which part a key belongs to, and the digest over all examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def is_golden(key: str, share: float) -> bool:
    """Whether an example is kept for judging and never trained on.

    The pages of one payload (`sha256:…#2`) go the same way, since they are alike.

    Args:
        key: The example's identity.
        share: Share of golden examples, 0 to 1.
    """
    identity = key.partition("#")[0]
    place = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    return place < share * 2**64


def truth_digest(truth: str) -> str:
    """The identity of a label, 64 hex digits."""
    return hashlib.sha256(truth.encode()).hexdigest()


def dataset_digest(examples: Iterable[tuple[str, str]]) -> str:
    """`sha256:…` over (key, truth digest) pairs, which come sorted by key."""
    digest = hashlib.sha256()
    for key, truth in examples:
        digest.update(f"{key}\0{truth}\n".encode())
    return "sha256:" + digest.hexdigest()
