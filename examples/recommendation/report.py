"""What became of the wholesaler's log, in one page that a person can judge: `python examples/recommendation/report.py`.

It asks the running platform: what AutoML tried, how each customer's last order was foreseen, how much of the catalogue
is ever recommended, and what some customers took, got and then ordered.
"""

from __future__ import annotations

import argparse
import csv
import html
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from packline_client import Client
from packline_client.labelled import evaluate
from packline_client.recommendation import Recommendations

HERE = Path(__file__).parent
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #ccc;padding:.2em .8em;text-align:left;vertical-align:top}.hit{background:#dfd}"
)


def read_orders(path: Path) -> Mapping[str, list[str]]:
    """Items of each customer, in the order of the file; cancellations left out."""
    found: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="utf8", newline="") as stream:
        for row in csv.DictReader(stream):
            if int(row["quantity"]) > 0:
                found[row["user_id"]].append(row["item_id"])
    return found


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are HTML."""
    lines = ["".join(f"<th>{cell}</th>" for cell in header), *["".join(f"<td>{c}</td>" for c in row) for row in rows]]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def sections(client: Client, pack: str, customers: int) -> Iterator[str]:
    """The page's parts."""
    with (HERE / "data" / "items.csv").open(encoding="utf8", newline="") as stream:
        titles = {row["item_id"]: row["title"] for row in csv.DictReader(stream)}
    orders, last = read_orders(HERE / "data" / "events.csv"), read_orders(HERE / "holdout" / "events.csv")

    yield "<h2>What AutoML tried</h2>"
    trained = next((run for run in client.training.runs(pack) if run.kind == "train" and run.metrics), None)
    if trained is None:
        yield "<p>Nothing yet: <code>packline train</code> comes first.</p>"
    else:
        yield table(
            ("on held-out events of the training part", "value"),
            [(html.escape(n), f"{v:.4f}") for n, v in sorted(trained.metrics.items(), key=lambda pair: -pair[1])],
        )
        yield f"<p>{html.escape(trained.message)}</p>"

    yield "<h2>Each customer's last order, predicted from those before</h2>"
    result = evaluate(client, pack, HERE / "holdout", 4, lambda text: None)
    yield table(
        ("metric", "value", "90 % interval"),
        [(m.name, f"{m.value:.4f}", f"{m.low:.4f} to {m.high:.4f}") for m in result.metrics],
    )

    users = sorted(last)
    answers: dict[str, Recommendations] = {user: client.recommendation.recommend(pack, user) for user in users}
    shown = {item for answer in answers.values() for item in answer.items}
    yield f"<p>Over {len(users)} customers, {len(shown)} of {len(titles)} items are recommended "
    yield f"({len(shown) / len(titles):.0%} coverage), by {result.model_version}.</p>"

    yield "<h2>Some customers</h2>"
    for user in users[:: max(1, len(users) // customers)][:customers]:
        ordered = set(last[user])
        results = [
            f"<span class='{'hit' if r.item in ordered else ''}'>{html.escape(titles.get(r.item, r.item))}</span>"
            + (
                f"<br><small>for {html.escape(', '.join(titles.get(c.item, c.item) for c in r.causes))}</small>"
                if r.causes
                else ""
            )
            for r in answers[user].results
        ]
        columns = [
            [html.escape(titles.get(item, item)) for item in items] for items in (orders[user][-12:], last[user][:12])
        ]
        yield f"<h3>Customer {html.escape(user)}</h3>"
        yield table(
            ("took of late", "is recommended (green: was ordered next)", "ordered next"),
            [("<br>".join(columns[0]), "<br>".join(results), "<br>".join(columns[1]))],
        )


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pack", default="wholesale")
    parser.add_argument("--address", help="host:port; PACKLINE_ADDRESS where left out")
    parser.add_argument("--customers", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("out/recommendation.html"))
    options = parser.parse_args()
    with Client(options.address) as client:
        body = "\n".join(sections(client, options.pack, options.customers))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    title = f"Recommendations of {options.pack}"
    page = f"<!doctype html><meta charset=utf8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}"
    credit = "<p><small>Data: Online Retail, D. Chen, UCI Machine Learning Repository, CC BY 4.0; a sample.</small></p>"
    options.out.write_text(page + credit, encoding="utf8")
    print(options.out)


if __name__ == "__main__":
    main()
