"""Logs and item lists as users have them: every format, returns, broken rows, and more rows than memory is given."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from packline_core.task import BadRow, Example
from packline_recommendation import reading
from packline_recommendation.examples import Event, History, Item, Query, read_example
from packline_recommendation.reading import questions, read_folder
from packline_recommendation.task import RecommendationTask

NOW = 1_800_000_000.0
LOG = "user_id,item_id,timestamp\nu,a,1700000000\nu,b,1700000100\nv,a,1700000050\nu,c,1700000200\n"


def put(folder: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def read(source: Path) -> tuple[dict[str, object], list[BadRow]]:
    rows = list(read_folder(source, NOW))
    examples = {row.key.partition("#")[0]: read_example(row) for row in rows if isinstance(row, Example)}
    return examples, [row for row in rows if isinstance(row, BadRow)]


def history(examples: dict[str, object], user: str) -> History:
    found = examples[f"user:{user}"]
    assert isinstance(found, History)
    return found


def items(events: object) -> list[str]:
    return [event.item for event in events]  # type: ignore[attr-defined]


def test_the_newest_event_is_what_a_user_is_judged_by(tmp_path: Path) -> None:
    examples, bad = read(put(tmp_path, log__csv=LOG))
    assert not bad
    known = history(examples, "u")
    assert (items(known.history), items(known.held)) == (["a", "b"], ["c"])
    question = examples["next:u"]
    assert isinstance(question, tuple)
    query, truth = question
    assert isinstance(query, Query) and items(query.history) == ["a", "b"] and query.now == 1_700_000_200
    assert truth == (Event("c", "purchase", 1.0, 1_700_000_200),)
    # Who came once has nothing to be predicted from.
    assert items(history(examples, "v").history) == ["a"] and "next:v" not in examples
    context = [row for row in read_folder(tmp_path, NOW) if isinstance(row, Example) and row.key.startswith("user:")]
    assert all(not row.truth for row in context)


def test_an_order_stays_together(tmp_path: Path) -> None:
    examples, _ = read(put(tmp_path, log__csv=LOG + "u,d,1700000200\n"))
    assert items(history(examples, "u").held) == ["c", "d"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.tsv", LOG.replace(",", "\t")),
        ("log.csv", LOG.replace(",", ";")),
        ("log.inter", LOG.replace(",", "\t").replace("user_id", "user_id:token").replace("item_id", "item_id:token")),
        ("log.csv", "\ufeff고객번호,상품번호,일시\n" + LOG.partition("\n")[2]),
        ("log.csv", ("고객번호,상품번호,일시\n" + LOG.partition("\n")[2]).encode("cp949")),
        ("log.csv.gz", gzip.compress(LOG.encode())),
        ("log.csv", LOG.replace("1700000000", "2023-11-14T22:13:20Z").replace("1700000100", "2023-11-14 22:15:00")),
        ("log.csv", LOG.replace("00\n", "00000\n").replace("50\n", "50000\n")),
    ],
)
def test_each_format_says_the_same(tmp_path: Path, name: str, text: str | bytes) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    examples, bad = read(tmp_path)
    assert not bad
    assert items(history(examples, "u").history) == ["a", "b"]


def test_parquet_and_its_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "customer": pa.array([1, 1, 2]),
            "sku": ["a", "b", "a"],
            "date": pa.array([1_700_000_000_000, 1_700_000_100_000, None], pa.timestamp("ms")),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet")
    examples, bad = read(tmp_path)
    assert items(history(examples, "1").history) == ["a"] and items(history(examples, "1").held) == ["b"]
    assert [(row.line, row.reason) for row in bad] == [(3, "time '' is no time")]


def test_returns_take_purchases_back(tmp_path: Path) -> None:
    text = "user,item,ts,quantity\nu,a,100,3\nu,b,200,1\nu,a,300,-3\nu,c,400,2\nu,c,450,-1\nu,d,500,-1\nu,e,600,1\n"
    examples, bad = read(put(tmp_path, log__csv=text))
    assert not bad
    assert items(history(examples, "u").history) == ["b", "c"] and items(history(examples, "u").held) == ["e"]


def test_kinds_of_events(tmp_path: Path) -> None:
    text = (
        "user,item,ts,event\nu,a,1,view\nu,b,2,Add to Cart\nu,c,3,ORDER\nu,d,4,hide\nu,c,5,cancelled\nu,e,6,click\n"
        "u,f,7,hide\nu,f,8,purchase\n"
    )
    examples, _ = read(put(tmp_path, log__csv=text))
    known = history(examples, "u")
    assert [(e.item, e.event, e.weight) for e in known.history] == [
        ("a", "view", 0.2),
        ("b", "cart", 0.5),
        ("e", "click", 0.3),
    ]
    assert list(known.hidden) == ["d"]


def test_every_broken_row_is_told_with_its_line(tmp_path: Path) -> None:
    text = LOG + "u,a\n,a,1700000300\nu,,1700000300\nu,a,soon\nu,a,2e9\nu,a,-5\n-1,a,1700000300\n\nu,f,1700000400\n"
    examples, bad = read(put(tmp_path, log__csv=text))
    assert [row.line for row in bad] == [6, 7, 8, 9, 10, 11, 12]
    words = " | ".join(row.reason for row in bad)
    for part in ("2 columns where 3", "names no user", "names no item", "'soon' is no time", "future", "-5"):
        assert part in words
    assert items(history(examples, "u").held) == ["f"]


def test_a_tenth_of_broken_rows_stops_nothing(tmp_path: Path) -> None:
    lines = [f"u{n % 50},i{n % 30},{1_700_000_000 + n}" for n in range(1000)]
    for place in range(0, 1000, 10):
        lines[place] = "###"
    examples, bad = read(put(tmp_path, log__csv="user,item,time\n" + "\n".join(lines) + "\n"))
    assert len(bad) == 100 and [row.line for row in bad] == list(range(2, 1002, 10))
    assert len([key for key in examples if key.startswith("user:")]) == 45


def test_repeated_events_count_once(tmp_path: Path) -> None:
    examples, bad = read(put(tmp_path, log__csv="user,item,ts,event_id\nu,a,1,x\nu,a,2,x\nu,b,3,y\n"))
    assert [row.reason for row in bad] == ["repeats event x"]
    assert len(history(examples, "u").history) == 1
    (tmp_path / "log.csv").write_text("user,item,ts\n" + "u,a,100\n" * 3 + "u,b,200\n")
    examples, bad = read(tmp_path)
    assert not bad and len(history(examples, "u").history) == 1


def test_items_in_two_languages_with_attributes(tmp_path: Path) -> None:
    text = (
        "item_id:token\ttitle:token_seq\tcategory:token\na\t육각 볼트 M6\tbolts\nb\tHex bolt M8\tbolts\na\tagain\tx\n"
    )
    examples, bad = read(put(tmp_path, log__csv=LOG, shop__item=text))
    assert examples["item:a"] == Item("a", "육각 볼트 M6", {"category": "bolts"})
    assert "repeats item a" in bad[0].reason and bad[0].line == 4


def test_an_item_list_of_another_shop_is_told(tmp_path: Path) -> None:
    _, bad = read(put(tmp_path, log__csv=LOG, items__csv="item_id,title\nA-1,x\nA-2,y\n"))
    assert "does not match the log: it has 0 of the 3 items taken" in bad[-1].reason


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no "),
        ({"log__csv": ""}, "it is empty"),
        ({"log__csv": "user,item,ts\n"}, "holds no event"),
        ({"log__csv": "a,b\n1,2\n"}, "has no column of users or items (it has a, b)"),
        ({"log__parquet": "no parquet"}, "cannot be read"),
        ({"log__csv__gz": b"\x1f\x8b broken"}, "cannot be read"),
    ],
)
def test_files_without_a_log_say_why(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    examples, bad = read(put(tmp_path, **files))
    assert not examples and words in bad[0].reason


def test_one_user_and_one_item(tmp_path: Path) -> None:
    examples, bad = read(put(tmp_path, log__csv="user,item\nu,a\n"))
    assert not bad and items(history(examples, "u").history) == ["a"] and len(examples) == 1


def test_what_does_not_fit_into_memory_goes_through_the_disk_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "log.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["user", "item", "ts", "country"])
        for number in range(5000):
            writer.writerow([f"u{number * 7 % 97}", f"i{number % 61}", 1_700_000_000 + number, "KR"])

    def everything() -> dict[str, str]:
        return {row.key: row.payload.decode() for row in read_folder(tmp_path, NOW) if isinstance(row, Example)}

    whole = everything()
    monkeypatch.setattr(reading, "_IN_MEMORY", 100)
    assert everything() == whole and len(whole) == 2 * 97
    assert '"context":{"country":"KR"}' in whole["next:u3"]


def test_evaluate_asks_by_the_user_alone(tmp_path: Path) -> None:
    rows = [row for row in questions(put(tmp_path, log__csv=LOG), NOW) if isinstance(row, Example)]
    asked = {row.group: read_example(row) for row in rows}
    query, truth = asked["u"]  # type: ignore[misc]
    assert (query.user, query.history, items(truth)) == ("u", (), ["a", "b", "c"])
    score = RecommendationTask().score('{"basis": "user", "results": [{"item": "b", "score": 1.0}]}', rows[0])
    assert (score.counts["recall_at_10"].value, score.counts["recall_at_10"].weight) == (1.0, 3)
    assert score.counts["ndcg_at_10"].value == 1.0
