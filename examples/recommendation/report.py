"""What became of the wholesaler's log, in one page that a person can judge: `python examples/recommendation/report.py`.

It asks the running platform: how well each customer's last order was foreseen, what was tried to get there, how much of
the catalogue is ever recommended, and what some customers took, got and then ordered.
"""

from __future__ import annotations

import argparse
import csv
import html
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packline_client import Client
from packline_client.labelled import Evaluation, evaluate
from packline_client.recommendation import Recommendations
from packline_client.training_types import Run

HERE = Path(__file__).parent
SHOWN = 10
_MEASURES = ("recall_at_10", "ndcg_at_10")
_ALONE = "ndcg_at_10_of_"
_LONGEST = 12
WAYS = {
    "blend": "A mix of all ways below, weighed by what each foresaw",
    "transformer": "A neural network that reads a customer's items one after the other (SASRec)",
    "next_item": "What followed what in other customers' orders",
    "ease": "Which items predict which, all at once (EASE)",
    "knn": "Items bought by the same customers (item-kNN)",
    "als": "Hidden tastes that customers and items share (ALS)",
    "popularity": "What sells of late, the same for everyone",
    "itself": "What the customer ordered before",
    "text": "Items that are described alike",
}
STYLE = """
body{font:15px/1.5 sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0 1em}td,th{padding:.25em .8em;text-align:left;vertical-align:top}
th{border-bottom:2px solid #888}td{border-bottom:1px solid #ddd}td.n{text-align:right;white-space:nowrap}
.big{font-size:1.25em}.best td{font-weight:bold}.hit{background:#cfe9cf;border-radius:3px;padding:0 .2em}
small{color:#666}.who{width:100%}.who td{width:30%}.who td+td{width:40%}.who td+td+td{width:30%}
.bar{display:inline-block;height:.7em;background:#69c;margin-right:.5em}
"""


@dataclass(frozen=True)
class Shop:
    """What the example's files say: titles of items, and each customer's items before and in its last order."""

    titles: Mapping[str, str]
    before: Mapping[str, Sequence[str]]
    last: Mapping[str, Sequence[str]]

    def title(self, item: str, *, hit: bool = False) -> str:
        """An item in HTML, green where it is a hit."""
        name = html.escape(self.titles.get(item, item).capitalize())
        return f"<span class=hit>{name}</span>" if hit else name


def read_orders(path: Path) -> Mapping[str, list[str]]:
    """Items of each customer, in the order of the file; cancellations left out."""
    found: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf8", newline="") as stream:
        for row in csv.DictReader(stream):
            if int(row["quantity"]) > 0:
                found[row["user_id"]].append(row["item_id"])
    return found


def read_shop() -> Shop:
    """The example's files."""
    with (HERE / "data" / "items.csv").open(encoding="utf8", newline="") as stream:
        titles = {row["item_id"]: row["title"] for row in csv.DictReader(stream)}
    return Shop(titles, read_orders(HERE / "data" / "events.csv"), read_orders(HERE / "holdout" / "events.csv"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, best: bool = False, kind: str = "") -> str:
    """A table; cells are HTML; figures are set right where it is of no `kind`, and the first row may be the best."""
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in header) + "</tr>"]
    for place, row in enumerate(rows):
        cells = "".join(f"<td{' class=n' if cell[:1].isdigit() and not kind else ''}>{cell}</td>" for cell in row)
        lines.append(f"<tr{' class=best' if best and not place else ''}>{cells}</tr>")
    return f"<table class='{kind}'>" + "".join(lines) + "</table>"


def foreseen(result: Evaluation, answers: Mapping[str, Recommendations], shop: Shop) -> Iterator[str]:
    """How well the last orders were foreseen, against what everyone buys."""
    sold: dict[str, int] = defaultdict(int)
    for items in shop.before.values():
        for item in set(items):
            sold[item] += 1
    popular = sorted(sold, key=lambda item: -sold[item])[:SHOWN]
    hit = sum(not set(answers[user].items).isdisjoint(items) for user, items in shop.last.items())
    same = sum(not set(popular).isdisjoint(items) for items in shop.last.values())
    count = len(shop.last)
    yield "<h2>Were the last orders foreseen?</h2>"
    yield (
        f"<p class=big>For {hit} of {count} customers ({hit / count:.0%}), at least one of the {SHOWN} items that were "
        f"recommended was in the next order. Showing everyone the {SHOWN} best sellers would have done so for {same} "
        f"({same / count:.0%}).</p>"
    )
    words = {
        "recall@10": f"share of all items ordered next that were among the {SHOWN} recommended",
        "ndcg@10": "the same, but an item counts more the higher it stood in the list",
    }
    yield table(
        ("measure", "value", "90 % certain between", "what it says"),
        [
            (m.name, f"{m.value:.4f}", f"{m.low:.4f} and {m.high:.4f}", words.get(m.name, ""))
            for m in sorted(result.metrics, key=lambda m: m.name, reverse=True)
        ],
    )
    yield (
        f"<p><small>Answered by version {html.escape(result.model_version)}. It never learned from these last orders; "
        f"any of the {len(shop.titles)} items could have been recommended.</small></p>"
    )


def tried(runs: Sequence[Run]) -> Iterator[str]:
    """What training tried, and what the ways that the best one mixes foresee alone."""
    yield "<h2>What was tried to get there</h2>"
    run = next((run for run in runs if run.kind == "train" and run.trials), None)
    if run is None:
        yield "<p>Nothing yet: <code>packline train</code> comes first.</p>"
        return
    alone = {name.removeprefix(_ALONE): value for name, value in run.metrics.items() if name.startswith(_ALONE)}
    yield (
        "<p>Training tries several ways of recommending by itself and asks each to foresee orders that were held back "
        "from it. What it keeps is usually a mix.</p>"
    )
    if len(alone) > 1:
        ways = sorted({"blend": run.metrics[_MEASURES[1]], **alone}.items(), key=lambda pair: -pair[1])
        yield table(
            ("way of recommending, by itself", "ndcg@10 on held-back orders"),
            [(WAYS.get(name, name), f"{_bar(value / (ways[0][1] or 1))}{value:.4f}") for name, value in ways],
            best=True,
        )
    yield f"<h3>Recipes, best first ({len(run.trials)} within the time allowed)</h3>"
    rows: list[tuple[str, ...]] = []
    for place, trial in enumerate(run.trials, 1):
        family = trial.parameters.get("family", "")
        measured = [f"{trial.metrics[name]:.4f}" if name in trial.metrics else "" for name in _MEASURES]
        way = WAYS.get(family, family) + _small(html.escape(trial.error)) + _settings(trial.parameters)
        rows.append((str(place), way, *measured, f"{trial.took.total_seconds() / 60:.1f} min"))
    yield table(("", "recipe and its settings", "recall@10", "ndcg@10", "took"), rows, best=True)
    yield f"<p><small>In the words of the run: {html.escape(run.message)}</small></p>"


def coverage(answers: Mapping[str, Recommendations], shop: Shop) -> Iterator[str]:
    """How much of the catalogue is ever recommended."""
    times: dict[str, int] = defaultdict(int)
    for answer in answers.values():
        for item in answer.items:
            times[item] += 1
    often = sorted(times.items(), key=lambda pair: -pair[1])
    yield "<h2>Does everyone get the same?</h2>"
    yield (
        f"<p>No: over {len(answers)} customers, {len(times)} of the {len(shop.titles)} items "
        f"({len(times) / len(shop.titles):.0%}) are recommended to somebody. The most frequent ones:</p>"
    )
    yield table(
        ("item", "customers who get it"),
        [(shop.title(item), f"{count} ({count / len(answers):.0%})") for item, count in often[:5]],
    )


def customers(answers: Mapping[str, Recommendations], shop: Shop, count: int) -> Iterator[str]:
    """What some customers took, got and then ordered: evenly drawn, whether it went well or not."""
    users = sorted(answers)
    yield "<h2>Some customers</h2>"
    yield (
        f"<p>Every {max(1, len(users) // count)}th customer by number, not chosen by how well it went. "
        "<span class=hit>Green</span> items were in the customer's next order. The small print names the item of "
        "the customer's own that speaks most for a recommendation.</p>"
    )
    for user in users[:: max(1, len(users) // count)][:count]:
        ordered, had, got = set(shop.last[user]), set(shop.before[user]), answers[user]
        results = []
        for result in got.results:
            causes = [shop.title(cause.item) for cause in result.causes if cause.item != result.item]
            why = ["ordered before"] * (result.item in had) + [f"goes with {cause}" for cause in causes[:1]]
            results.append(shop.title(result.item, hit=result.item in ordered) + _small("; ".join(why)))
        late = list(dict.fromkeys(reversed(shop.before[user])))
        after = sorted(ordered, key=lambda item: (item not in got.items, shop.title(item)))
        yield f"<h3>Customer {html.escape(user)}: {len(ordered & set(got.items))} of {len(got.items)} were ordered</h3>"
        yield table(
            ("ordered of late", "is recommended", f"then ordered: {len(after)} in all"),
            [
                (
                    "<br>".join(shop.title(item) for item in late[:_LONGEST]) + _more(late),
                    "<br>".join(results),
                    "<br>".join(shop.title(item, hit=item in got.items) for item in after[:_LONGEST]) + _more(after),
                )
            ],
            kind="who",
        )


def sections(client: Client, pack: str, count: int) -> Iterator[str]:
    """The page's parts."""
    shop = read_shop()
    result = evaluate(client, pack, HERE / "holdout", 4, lambda text: None)
    answers = {user: client.recommendation.recommend(pack, user, k=SHOWN) for user in sorted(shop.last)}
    yield from foreseen(result, answers, shop)
    yield from customers(answers, shop, count)
    yield from coverage(answers, shop)
    yield from tried(client.training.runs(pack))


def _bar(share: float) -> str:
    return f"<span class=bar style='width:{240 * share:.0f}px'></span>"


def _small(text: str) -> str:
    return f"<br><small>{text}</small>" if text else ""


def _more(items: Sequence[str]) -> str:
    return _small(f"and {len(items) - _LONGEST} more" if len(items) > _LONGEST else "")


def _settings(parameters: Mapping[str, str]) -> str:
    rest = ", ".join(f"{name} {value[:6]}" for name, value in parameters.items() if name != "family")
    return _small(html.escape(rest))


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pack", default="wholesale")
    parser.add_argument("--address", help="host:port; PACKLINE_ADDRESS where left out")
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("out/recommendation.html"))
    options = parser.parse_args()
    with Client(options.address) as client:
        body = "\n".join(sections(client, options.pack, options.customers))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    title = f"What the customers of {html.escape(options.pack)} order next"
    page = f"<!doctype html><meta charset=utf8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}"
    credit = "<p><small>Data: Online Retail, D. Chen, UCI Machine Learning Repository, CC BY 4.0; a sample.</small></p>"
    options.out.write_text(page + credit, encoding="utf8")
    print(options.out)


if __name__ == "__main__":
    main()
