"""The recommendation task: what core, training and monitoring know of it.

Files and models are read by modules that are imported where they are needed, so that who needs the words alone (the
operator, the command line) needs none of their libraries.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from packline_core.bundle import Bundle, bytes_digest
from packline_core.errors import InvalidInput, PacklineError
from packline_core.runtime import Runtime
from packline_core.task import (
    BadRow,
    Base,
    Count,
    Example,
    Examples,
    ExampleScore,
    SearchSpace,
    State,
    TrainContext,
    Trained,
    Trial,
)

from packline_recommendation.asking import Answer, Basis, answer_json, ask_of, read_answer
from packline_recommendation.config import RecommendationSpec
from packline_recommendation.examples import History, history_example, read_query, read_truth
from packline_recommendation.examples import truth_json as events_json
from packline_recommendation.metrics import METRICS, agreement, score_items
from packline_recommendation.rewards import is_refused, is_wanted, off_policy, taken

if TYPE_CHECKING:
    from packline_recommendation.engine import RecommendationPredictor

_AT_ONCE = 32
_NOTHING = answer_json(Answer((), Basis.POPULAR))


class RecommendationTask:
    """The plug-in."""

    name = "recommendation"
    title = "Recommending"
    spec = RecommendationSpec
    bases = (
        Base(
            "popular",
            "What is popular of late, until a model has been trained on the log",
            "CC0-1.0",
            "built by this task",
        ),
    )
    metrics = METRICS
    grpc_servicers = ("packline.recommendation.v1.recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server",)
    application = "packline_recommendation.app:build"

    def build_base(self, base: str, folder: Path) -> None:
        """Writes the base's bundle."""
        from packline_recommendation.building import seal_popular

        seal_popular(folder)

    def default_base(self, objective_metric: str | None) -> str:
        """The only one."""
        return "popular"

    def read(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads logs and item lists: CSV, TSV, Parquet, RecBole's atomic files."""
        from packline_recommendation.reading import read_folder

        return read_folder(source, time.time())

    def questions(self, source: Path) -> Iterator[Example | BadRow]:
        """Reads a log as what is to be predicted of each of its users, from what the Pack knows of them."""
        from packline_recommendation.reading import questions

        return questions(source, time.time())

    def recorded(self, state: State) -> Iterator[Example | BadRow]:
        """What the Pack was told since it serves."""
        from packline_recommendation.reading import recorded_examples

        return recorded_examples(state)

    def forget(self, state: State) -> None:
        """Removes what the Pack was told."""
        from packline_recommendation.state import forget

        forget(state)

    def example(self, payload: bytes, page: int, truth_json: str, source: str) -> Example:
        """Makes an example of what a user did with an answer: clicks and orders are what should have come first.

        Dismissals and hides are no items that were wanted: they count where nothing was, and keep the items from the
        user. What was done later with the same answer replaces what was done before.

        Args:
            payload: The query, as `examples.query_payload` writes it.
            page: Has no meaning here.
            truth_json: `[["item", "event", weight, time], …]`, or bare item ids.
            source: For messages.

        Raises:
            InvalidInput: One of them is not of that form.
        """
        query, truth = read_query(payload), read_truth(truth_json)
        if not truth:
            raise InvalidInput("truth_json: names no event", reason="INVALID_TRUTH", field="truth_json")
        # A truth that names no time came after the answer that it is of.
        wanted = [e if e.time else e._replace(time=query.now) for e in truth if is_wanted(e)]
        refused = [event.item for event in truth if is_refused(event)]
        if not wanted and refused and query.user:
            return history_example(History(query.user, (), hidden=refused), source)
        if not wanted:
            raise InvalidInput(
                "truth_json: names only what was given back, or refused by nobody in particular; there is nothing to "
                "learn from it",
                reason="NOTHING_WANTED",
                field="truth_json",
            )
        return Example(bytes_digest(payload), payload, events_json(wanted), query.user or bytes_digest(payload), source)

    def search_space(self, base: str) -> SearchSpace:
        """What training may vary."""
        from packline_recommendation.training import search_space

        return search_space(base)

    def train(self, trial: Trial, data: Examples, context: TrainContext) -> Trained:
        """Trains one trial."""
        from packline_recommendation.training import train

        return train(trial, data, context)

    def export(self, trained: Trained, start: Bundle, folder: Path) -> None:
        """Writes a bundle's files."""
        from packline_recommendation.training import export

        export(trained, folder)

    def load(self, bundle: Bundle, runtime: Runtime) -> RecommendationPredictor:
        """Opens a bundle."""
        from packline_recommendation.engine import RecommendationPredictor

        return RecommendationPredictor(bundle, runtime)

    def prepare(self, bundle: Bundle, state: State) -> None:
        """Nothing has to be prepared: what a Pack was told goes with every version alike."""

    def evaluate(self, predictor: RecommendationPredictor, examples: Iterator[Example]) -> Iterator[ExampleScore]:
        """Scores a model, some examples at a time."""
        while batch := list(islice(examples, _AT_ONCE)):
            works = [predictor.prepare(ask_of(read_query(example.payload)))[0] for example in batch]
            for example, answer in zip(batch, predictor.predict(works), strict=True):
                yield self.score(_NOTHING if isinstance(answer, PacklineError) else answer_json(answer), example)

    def score(self, answer_json: str, example: Example) -> ExampleScore:
        """Scores one answer against what was taken."""
        _, results = read_answer(answer_json)
        taken = [event.item for event in read_truth(example.truth)]
        return ExampleScore(example.key, example.group, score_items([item for item, _ in results], taken))

    def is_hit(self, answer_json: str, truths_json: Sequence[str]) -> bool:
        """Whether the user clicked, liked, put into the cart or ordered something of an answer."""
        _, results = read_answer(answer_json)
        return not taken(truths_json).isdisjoint(item for item, _ in results)

    def off_policy(self, shown_json: str, other_json: str, truths_json: Sequence[str]) -> tuple[Count, Count]:
        """Items taken per item looked at, of an answer that was shown and of one that nobody saw: an estimate limited
        to items that both have, explained with its bias in `rewards.off_policy`.
        """
        shown, other = ([item for item, _ in read_answer(text)[1]] for text in (shown_json, other_json))
        return off_policy(shown, other, taken(truths_json))

    def signals(self, answer_json: str) -> Mapping[str, float]:
        """Whether it went by a user's own history, how many results there are, and how far the first is ahead."""
        basis, results = read_answer(answer_json)
        found = {"personal": float(basis in {"user", "session"}), "results": float(len(results))}
        if results:
            scores = [score for _, score in results]
            spread = max(scores) - min(scores)
            found["lead"] = (scores[0] - fmean(scores)) / spread if spread else 0.0
        return found

    def agreement(self, first_json: str, second_json: str) -> float:
        """Rank-biased overlap of the two lists."""
        first, second = ([item for item, _ in read_answer(text)[1]] for text in (first_json, second_json))
        return agreement(first, second)
