"""What fixes a dataset: which part an example belongs to, and the digest over all examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from packline_core.task import Example


def is_golden(example: Example, share: float) -> bool:
    """Whether an example is kept for judging and never trained on.

    The pages of one payload (`sha256:…#2`) go the same way, since they are alike. An example without a truth is
    context, by which nothing could be judged: it always belongs to the training part.

    Args:
        example: Judged by its key and by whether it has a truth.
        share: Share of golden examples, 0 to 1.
    """
    if not example.truth:
        return False
    identity = example.key.partition("#")[0]
    place = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    return place < share * 2**64


def truth_digest(example: Example) -> str:
    """The identity of what an example says, 64 hex digits: of its label, or of its payload where that is all it has."""
    return hashlib.sha256(example.truth.encode() or b"\0" + example.payload).hexdigest()


def dataset_digest(examples: Iterable[tuple[str, str]]) -> str:
    """`sha256:…` over (key, truth digest) pairs, which come sorted by key."""
    digest = hashlib.sha256()
    for key, truth in examples:
        digest.update(f"{key}\0{truth}\n".encode())
    return "sha256:" + digest.hexdigest()
