"""A trained recommender as a bundle's files, with what is needed to prove that they answer as it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from packline_recommendation.domain import Floats, Log
from packline_recommendation.examples import LONGEST_HISTORY, Event, Query, query_payload
from packline_recommendation.layout import (
    MODEL,
    REFERENCES,
    KnownUser,
    Settings,
    write_contexts,
    write_histories,
    write_items,
    write_neighbours,
    write_settings,
)
from packline_recommendation.training.corpus import Corpus
from packline_recommendation.training.graph import write_graph
from packline_recommendation.training.histories import Histories, histories
from packline_recommendation.training.neighbours import knn
from packline_recommendation.training.parts import Recommender
from packline_recommendation.training.popularity import popularity
from packline_recommendation.training.selection import Chosen

FILES, PROOF = "bundle", "proof.npz"
_PROVED = 8  # histories
_ASKED = 4  # reference queries
_LIKE = 50  # neighbours of an item, for what is alike and what a recommendation is caused by
_SHRINK = 10.0
_CONTEXT_ITEMS = 200
_CONTEXTS = 1000


def write_output(chosen: Chosen, corpus: Corpus, folder: Path, *, family: str) -> None:
    """Writes the bundle's files into `folder/bundle`, and the proof beside.

    Args:
        chosen: What came out of the trial.
        corpus: What it was trained on.
        folder: Made where it is not there.
        family: For people.
    """
    files = folder / FILES
    (files / REFERENCES).mkdir(parents=True, exist_ok=True)
    log = corpus.log
    recommender = chosen.recommender
    write_graph(recommender, files / MODEL)
    newest = int(log.time.max()) if log.timed else 0
    write_settings(Settings(family, recommender.length, log.timed, chosen.repeats, newest), files)
    write_items(
        files,
        ids=corpus.items.ids,
        texts=corpus.items.texts,
        attributes=corpus.items.attributes,
        popularity=popularity(log, chosen.recency),
        events=np.bincount(log.item, minlength=len(log.items)).astype(np.int64),
    )
    write_histories(files, _known_users(corpus))
    write_contexts(files, _contexts(corpus))
    alike = knn(log, min(_LIKE, len(log.items)), _SHRINK)
    write_neighbours(files, *_ordered(alike.indices, alike.values))
    users = _some_users(log)
    given = histories(log, users, recommender.length)
    for user in users[:_ASKED]:
        payload = query_payload(Query("", _events(log, int(user))))
        (files / REFERENCES / f"{log.users[user].encode().hex()[:40]}.json").write_bytes(payload)
    prove_with(recommender, given, folder / PROOF)


def prove_with(recommender: Recommender, given: Histories, path: Path) -> None:
    """Keeps histories and the scores that a recommender gives them."""
    np.savez(path, items=given.items, weights=given.weights, ages=given.ages, scores=recommender.scores(given))


def _some_users(log: Log) -> npt.NDArray[np.int64]:
    """A few users, from the one with the shortest history to the one with the longest."""
    counts = np.diff(log.bounds)
    users = np.argsort(counts, kind="stable")
    users = users[counts[users] > 0]
    return np.asarray(users[np.linspace(0, len(users) - 1, min(_PROVED, len(users))).astype(np.int64)], dtype=np.int64)


def _events(log: Log, user: int) -> list[Event]:
    bounds = log.bounds
    places = range(max(int(bounds[user]), int(bounds[user + 1]) - LONGEST_HISTORY), int(bounds[user + 1]))
    return [
        Event(log.items[log.item[place]], "purchase", float(log.weight[place]), int(log.time[place]))
        for place in places
    ]


def _known_users(corpus: Corpus) -> Iterator[KnownUser]:
    shown = corpus.shown
    bounds = shown.bounds
    for user, name in enumerate(shown.users):
        hidden = corpus.hidden.get(user, ())
        begin, end = max(int(bounds[user]), int(bounds[user + 1]) - LONGEST_HISTORY), int(bounds[user + 1])
        # Sessions of nobody in particular are learned from, and known by no name.
        if (begin < end or hidden) and not name.startswith("\0"):
            part = slice(begin, end)
            yield KnownUser(
                name, shown.item[part].tolist(), shown.time[part].tolist(), shown.weight[part].tolist(), hidden
            )


def _contexts(corpus: Corpus) -> dict[tuple[str, str], tuple[list[int], list[float]]]:
    """What is popular among the users of each context; the largest contexts where there are very many."""
    log = corpus.log
    sizes = Counter(pair for context in corpus.contexts.values() for pair in context.items())
    found = {}
    members: dict[tuple[str, str], list[int]] = {pair: [] for pair, _ in sizes.most_common(_CONTEXTS)}
    for user, context in corpus.contexts.items():
        for pair in context.items():
            if pair in members:
                members[pair].append(user)
    for pair, users in sorted(members.items()):
        chosen = np.zeros(len(log.users), dtype=np.bool_)
        chosen[users] = True
        counts = np.bincount(log.item[chosen[log.user]], log.weight[chosen[log.user]], minlength=len(log.items))
        best = np.argsort(-counts, kind="stable")[:_CONTEXT_ITEMS]
        best = best[counts[best] > 0]
        found[pair] = ([int(item) for item in best], [float(np.log1p(counts[item])) for item in best])
    return found


def _ordered(indices: npt.NDArray[np.int32], values: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Each row's best first, -1 where there are no more."""
    order = np.argsort(-values, axis=1, kind="stable")
    values = np.take_along_axis(values, order, axis=1)
    indices = np.take_along_axis(indices, order, axis=1)
    return np.where(values > 0, indices, -1).astype(np.int32), values
