"""Which of two versions answers a call: by weight, and always the same one for calls with one key."""

from __future__ import annotations

from hashlib import blake2b

_BUCKETS = 1 << 32


def key_share(key: str, salt: str) -> float:
    """Where a key falls in [0, 1): evenly spread over keys, and anew for each `salt`."""
    digest = blake2b(key.encode(), digest_size=4, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / _BUCKETS


def goes_to_candidate(share: float, weight: int) -> bool:
    """Whether a call whose key falls at `share` goes to a candidate of `weight` percent.

    A key that goes to the candidate at one weight does so at every higher one, so a rising canary moves nobody back.
    """
    return share * 100 < weight
