"""Low-rank models: a history is the sum of its items' vectors, and scores are its products with all items' vectors.

ALS on implicit feedback: Hu, Koren and Volinsky 2008. A history that training never saw is folded in by the part of its
normal equations that is the same for all users, so that serving needs no solver.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from packline_recommendation.domain import Floats, Log
from packline_recommendation.training.histories import Histories
from packline_recommendation.training.neighbours import user_item

_BUCKETS = 1 << 18
_GRAMS = (2, 3, 4)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Factors:
    """Vectors of items.

    Attributes:
        vectors: float32 (items, width).
        mix: float32 (width, width), what the sum of a history's vectors is multiplied with before the product with all.
    """

    vectors: Floats
    mix: Floats

    def scores(self, given: Histories, shares: Floats) -> Floats:
        """float32 (users, items), with `shares` of (users, length) as `Histories.decayed`."""
        taken = (given.matrix(shares, len(self.vectors)) @ self.vectors) @ self.mix
        return np.asarray(taken @ self.vectors.T, dtype=np.float32)


def als(log: Log, *, width: int, ridge: float, confidence: float, rounds: int, seed: int, threads: int) -> Factors:
    """Alternating least squares.

    Args:
        log: Events.
        width: Of the vectors.
        ridge: L2 penalty.
        confidence: What an event adds to the confidence 1 of a pair without events.
        rounds: Alternations.
        seed: Of the first vectors.
        threads: CPU threads.
    """
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    # The library runs its own threads, each with a small product; more threads within those are in its way.
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=width,
            regularization=ridge,
            alpha=confidence,
            iterations=rounds,
            random_state=seed,
            num_threads=threads,
        )
        model.fit(user_item(log), show_progress=False)
    vectors = np.asarray(model.item_factors, dtype=np.float32)
    vectors[np.bincount(log.item, minlength=len(log.items)) == 0] = 0
    gram = vectors.T @ vectors + ridge * np.eye(width, dtype=np.float32)
    return Factors(vectors, np.linalg.inv(gram).astype(np.float32))


def text_vectors(texts: Sequence[str], width: int, seed: int) -> Floats:
    """Unit vectors of texts, float32 (texts, width): TF-IDF of words and of their character n-grams, at low rank.

    N-grams make up for what Korean particles and English plurals change. A text without words is all zeros.

    Args:
        texts: One an item.
        width: Most dimensions; fewer where there are few texts.
        seed: Of the decomposition's start.
    """
    buckets, ends = [], [0]
    for text in texts:
        buckets += [zlib.crc32(term.encode()) % _BUCKETS for term in _terms(text)]
        ends.append(len(buckets))
    shape = (len(texts), _BUCKETS)
    counts = sparse.csr_matrix((np.ones(len(buckets), dtype=np.float32), buckets, ends), shape=shape)
    counts.sum_duplicates()
    used = np.flatnonzero(np.bincount(counts.indices, minlength=_BUCKETS) > 1)
    if len(used) < 2 or len(texts) < 3:
        return np.zeros((len(texts), width), dtype=np.float32)
    counts = counts[:, used]
    frequency = np.bincount(counts.indices, minlength=len(used))
    counts.data = (1 + np.log(counts.data)) * np.log(len(texts) / frequency)[counts.indices].astype(np.float32)
    counts = sparse.diags_array(1 / np.maximum(linalg.norm(counts, axis=1), 1e-9)) @ counts
    rank = min(width, min(counts.shape) - 1)
    start = np.random.default_rng(seed).standard_normal(min(counts.shape)).astype(np.float32)
    left, strength, _ = linalg.svds(sparse.csr_matrix(counts, dtype=np.float32), k=rank, v0=start)
    vectors = left * strength
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    found = np.zeros((len(texts), width), dtype=np.float32)
    found[:, :rank] = vectors
    return found


def _terms(text: str) -> Iterator[str]:
    """Words, and the character n-grams of each word with its ends marked."""
    for word in _WORD.findall(text.lower()):
        yield word
        marked = f"<{word}>"
        for size in _GRAMS:
            for begin in range(len(marked) - size + 1):
                yield marked[begin : begin + size]
