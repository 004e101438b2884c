"""Linear item-to-item models: item-kNN, EASE and its sequential kin, each as a table of every item's neighbours.

EASE: Steck 2019, arXiv:1905.03375. Next-item regression: Choi et al. 2021, arXiv:2103.16104 (SLIT). Their dense
matrices are cut to each item's strongest entries, so that a catalogue's table grows with its items, not their square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from packline_recommendation.domain import Floats, Ints, Log
from packline_recommendation.training.histories import Histories

DENSE_ITEMS = 16_000
"""Most items of which a dense matrix is made (1 GB); those with more events come first, others get no neighbours."""

_ROWS = 2048
_SPARSE = 0.05  # share of entries, above which a matrix is multiplied as a dense one
_STEPS = 16  # after which little is left of a history, at any decay of use


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What each item of a history adds to which items' scores.

    Attributes:
        indices: int32 (items, width).
        values: float32 (items, width); 0 where an item has fewer neighbours.
    """

    indices: npt.NDArray[np.int32]
    values: Floats

    @property
    def matrix(self) -> sparse.csr_matrix:
        """float32 (items, items)."""
        count, width = self.indices.shape
        ends = np.arange(count + 1) * width
        return sparse.csr_matrix((self.values.ravel(), self.indices.ravel(), ends), shape=(count, count))

    def scores(self, given: Histories, shares: Floats) -> Floats:
        """float32 (users, items): `shares` of (users, length), as `Histories.decayed`, spread over neighbours."""
        return np.asarray((given.matrix(shares, len(self.indices)) @ self.matrix).todense(), dtype=np.float32)


def itself(count: int) -> Neighbours:
    """Every item its own and only neighbour: scores say what a user takes again."""
    return Neighbours(np.arange(count, dtype=np.int32)[:, None], np.ones((count, 1), dtype=np.float32))


def user_item(log: Log) -> sparse.csr_matrix:
    """float32 (users, items): 1 where a user had an item."""
    shape = (len(log.users), len(log.items))
    matrix = sparse.csr_matrix((np.ones(len(log), dtype=np.float32), (log.user, log.item)), shape=shape)
    matrix.data[:] = 1
    return matrix


def knn(log: Log, width: int, shrink: float) -> Neighbours:
    """Item-kNN: cosine of the users of two items, shrunk where few had both (Deshpande and Karypis 2004).

    Args:
        log: Events.
        width: Most neighbours of an item.
        shrink: Added to the product of the norms.
    """
    matrix = user_item(log)
    norms = np.sqrt(np.asarray(matrix.sum(axis=0))).ravel()
    items_by_user = matrix.T.tocsr()
    found = _Table(len(log.items), width)
    for begin in range(0, len(log.items), _ROWS):
        rows = slice(begin, begin + _ROWS)
        block = (items_by_user[rows] @ matrix).tocoo()
        block.data /= norms[rows][block.row] * norms[block.col] + shrink
        block.data[block.row + begin == block.col] = 0
        found.put_sparse(begin, block.tocsr())
    return found.table()


def ease(log: Log, width: int, ridge: float, dense: int = DENSE_ITEMS) -> Neighbours:
    """EASE: each item regressed on all others, in closed form.

    Args:
        log: Events.
        width: Most neighbours that are kept of an item.
        ridge: L2 penalty, lambda.
        dense: Most items that enter the dense matrix.
    """
    chosen = _most_frequent(log, dense)
    matrix = user_item(log)[:, chosen]
    inverse = _inverse((matrix.T @ matrix).toarray(), ridge)
    inverse /= -np.diag(inverse)[None, :]
    np.fill_diagonal(inverse, 0)
    return _cut(inverse, chosen, len(log.items), width)


def next_item(
    log: Log, width: int, ridge: float, *, decay: float, ahead: float, length: int, dense: int = DENSE_ITEMS
) -> Neighbours:
    """Ridge regression of the items that come next on the decayed history, over every prefix of every history.

    Args:
        log: Events.
        width: Most neighbours that are kept of an item.
        ridge: L2 penalty.
        decay: Of the history, per step back.
        ahead: Of what comes, per step ahead; 0 regresses on the next step alone.
        length: Events of a history that are looked at.
        dense: Most items that enter the dense matrix.
    """
    chosen = _most_frequent(log, dense)
    past, future = prefixes(log, decay=decay, ahead=ahead, length=length)
    past, future = past[:, chosen], future[:, chosen]
    inverse = _inverse((past.T @ past).toarray(), ridge)
    cross = (past.T @ future).tocsc()
    # A product with a sparse matrix that is not very sparse takes many times as long as one with a dense one.
    few = cross.nnz < _SPARSE * len(chosen) ** 2
    weights = np.asarray((cross.T @ inverse).T if few else inverse @ cross.toarray())
    np.fill_diagonal(weights, 0)
    return _cut(weights, chosen, len(log.items), width)


def prefixes(log: Log, *, decay: float, ahead: float, length: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """What came before and after each basket, float32 (events, items) each; in a log without baskets, each event.

    A row's point lies after its event, where that is the last of its basket; other rows are empty.
    """
    count = len(log)
    step = basket_steps(log)
    ends = np.ones(count, dtype=np.bool_)
    ends[:-1] = step[:-1] != step[1:]
    past: list[tuple[Floats, npt.NDArray[np.int64], Ints]] = []
    future: list[tuple[Floats, npt.NDArray[np.int64], Ints]] = []
    for back in range(length):
        later = np.arange(back, count)
        earlier = later - back
        near = (log.user[later] == log.user[earlier]) & (step[later] - step[earlier] <= _STEPS)
        later, earlier = later[near], earlier[near]
        apart = (step[later] - step[earlier]).astype(np.float32)
        before = ends[later]
        past.append((np.power(np.float32(decay), apart[before]), later[before], log.item[earlier[before]]))
        after = ends[earlier] & (apart > 0)
        share = np.power(np.float32(ahead), apart[after] - 1) if ahead else (apart[after] == 1).astype(np.float32)
        future.append((share, earlier[after], log.item[later[after]]))
    shape = (count, len(log.items))
    made = []
    for parts in (past, future):
        values, rows, columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        matrix = sparse.csr_matrix((values, (rows, columns)), shape=shape, dtype=np.float32)
        matrix.eliminate_zeros()
        made.append(matrix)
    return made[0], made[1]


def basket_steps(log: Log) -> npt.NDArray[np.int64]:
    """int64 (events,): counts baskets, ascending within a user; events of one user and moment share a number."""
    new = np.ones(len(log), dtype=np.int64)
    new[1:] = (log.user[1:] != log.user[:-1]) | (log.time[1:] != log.time[:-1])
    return new.cumsum()


def _most_frequent(log: Log, most: int) -> npt.NDArray[np.int64]:
    counts = np.bincount(log.item, minlength=len(log.items))
    chosen = np.argsort(-counts, kind="stable")[:most]
    return np.sort(chosen[counts[chosen] > 0])


def _inverse(gram: Floats, ridge: float) -> Floats:
    """Of a Gram matrix with `ridge` on its diagonal, by Cholesky's factors, in place."""
    gram[np.diag_indices_from(gram)] += ridge
    factor, failed = linalg.lapack.spotrf(gram.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise ValueError(f"the Gram matrix is not positive definite at {failed}")
    inverse, _ = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    lower: Floats = np.tril(inverse)
    del inverse
    return lower + np.tril(lower, -1).T


def _cut(weights: Floats, chosen: npt.NDArray[np.int64], count: int, width: int) -> Neighbours:
    """The strongest entries of each row of a dense matrix over the `chosen` items."""
    found = _Table(count, min(width, max(len(chosen), 1)))
    for begin in range(0, len(chosen), _ROWS):
        block = weights[begin : begin + _ROWS]
        found.put_dense(chosen[begin : begin + _ROWS], block, chosen)
    return found.table()


class _Table:
    """Filled block by block with the strongest entries of rows."""

    def __init__(self, count: int, width: int) -> None:
        self._width = min(width, max(count, 1))
        self._indices = np.zeros((count, self._width), dtype=np.int32)
        self._values = np.zeros((count, self._width), dtype=np.float32)

    def put_dense(self, rows: npt.NDArray[np.int64], block: Floats, columns: npt.NDArray[np.int64]) -> None:
        width = min(self._width, block.shape[1])
        strongest = np.argpartition(-np.abs(block), width - 1, axis=1)[:, :width]
        self._indices[rows, :width] = columns[strongest]
        self._values[rows, :width] = np.take_along_axis(block, strongest, axis=1)

    def put_sparse(self, begin: int, block: sparse.csr_matrix) -> None:
        for row in range(block.shape[0]):
            entries = slice(block.indptr[row], block.indptr[row + 1])
            values, indices = block.data[entries], block.indices[entries]
            width = min(self._width, len(values))
            if width:
                strongest = np.argpartition(-np.abs(values), width - 1)[:width]
                self._indices[begin + row, :width] = indices[strongest]
                self._values[begin + row, :width] = values[strongest]

    def table(self) -> Neighbours:
        return Neighbours(self._indices, self._values)
