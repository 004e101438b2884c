"""The demo's report, drawn from real documents as the real base models read them."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from packline_core.bundle import open_bundle
from packline_core.runtime import Runtime
from packline_core.task import get_task

from examples.ocr.render import FOLDER
from examples.ocr.report import to_html
from examples.ocr.report.compare import differences, errors, line_cases, read_at
from examples.ocr.report.facts import (
    Facts,
    Figure,
    Learning,
    ModelScore,
    Moment,
    PageFacts,
    Reading,
    Safeguard,
    Share,
    TextLine,
    Timeline,
    Traffic,
)

NAMES = ("img/goods_receipt-9001.jpg", "img/certificate-9002.jpg", "img/weigh_ticket-9005.jpg")
START = datetime(2025, 3, 4, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def text_lines(items: list[dict[str, object]], key: str) -> tuple[TextLine, ...]:
    return tuple(TextLine(tuple((x, y) for x, y in item["points"]), str(item[key])) for item in items)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageFacts, ...]]:
    """Three papers of the holdout: before as `fast` reads them, after as `accurate` does."""
    predictors = []
    for base in ("fast", "accurate"):
        folder = tmp_path_factory.mktemp(base)
        get_task("ocr").build_base(base, folder)
        predictors.append(get_task("ocr").load(open_bundle(folder), Runtime()))
    labels = dict(row.split("\t", 1) for row in (FOLDER / "holdout/labels.txt").read_text("utf8").splitlines())
    result = []
    for number, name in enumerate(NAMES):
        payload = (FOLDER / "holdout" / name).read_bytes()
        readings = [
            Reading(f"v{version}", text_lines(json.loads(p.answer(payload))["pages"][0]["lines"], "text"), 0.2 + number)
            for version, p in enumerate(predictors, start=1)
        ]
        truth = text_lines(json.loads(labels[name]), "transcription")
        result.append(PageFacts(FOLDER / "holdout" / name, readings[0], readings[1], truth))
    yield tuple(result)
    for predictor in predictors:
        predictor.close()


def facts(pages: tuple[PageFacts, ...]) -> Facts:
    timeline = Timeline(
        "delivery-notes",
        START,
        at(240),
        (
            Moment(at(30), "correction", "45 corrections arrived"),
            Moment(at(200), "promoted", "v2 <answers> all calls"),
        ),
        (Share(START, {"v1": 100}), Share(at(180), {"v1": 90, "v2": 10}), Share(at(200), {"v2": 100})),
    )
    return Facts(
        pack="delivery-notes",
        made_at=at(500),
        seconds=500,
        machine="2 CPU cores & no GPU",
        data_note="All pages are rendered by program.",
        pages=pages,
        before=ModelScore("before", "v1", Figure(0.04, 0.03, 0.05), Figure(0.7, 0.66, 0.74), 3, 5.1),
        after=ModelScore("now", "v2", Figure(0.01, 0.008, 0.013), None, 3, 5.0),
        learning=Learning(60, 12, 153, 207),
        traffic=Traffic(1412, 0, {"v1": 900, "v2": 512}),
        timelines=(timeline,),
        safeguards=(Safeguard("A damaged model", "It was published.", "The gate refused it.", held=True),),
    )


class Outline(HTMLParser):
    """Headings, images and the balance of the tags of a report."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        assert tag != "script"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"h1", "h2"}:
            self.headings.append(data)


def outline(html: str) -> Outline:
    parsed = Outline()
    parsed.feed(html)
    parsed.close()
    assert parsed.open == []
    return parsed


def test_a_full_report_tells_everything_and_stands_alone(pages: tuple[PageFacts, ...]) -> None:
    html = to_html(facts(pages))
    found = outline(html)
    assert found.headings == [
        "Packline learned from corrections and now makes 75 % fewer reading errors",
        "What it read before, and what it reads now",
        "How the new model took over",
        "What happens when a model is bad",
        "Pages",
        "Slowest and worst pages",
        "Scores",
    ]
    assert found.links and all(link.startswith("data:image/jpeg;base64,") for link in found.links)
    for link in found.links:
        data = np.frombuffer(base64.b64decode(link.split(",", 1)[1]), np.uint8)
        assert cv2.imdecode(data, cv2.IMREAD_COLOR) is not None
    assert html.count("<polygon") == sum(len(page.truth) for page in pages)
    assert "0 of 1,412" in html and "3 min 27 s" in html and "3.0 % \u2013 5.0 %" in html
    assert "v2 &lt;answers&gt; all calls" in html and "2 CPU cores &amp; no GPU" in html
    assert re.search(r'class="share-b"[^>]*height="9.6"><title>v2: 10 %', html)


def test_shown_errors_are_the_errors_of_the_readings(pages: tuple[PageFacts, ...]) -> None:
    cases = [case for page in pages for case in line_cases(page)]
    mended = [case for case in cases if case.errors_before and case.errors_after == 0]
    assert mended, "the accurate base mends none of the fast one's errors on these pages"
    html = to_html(facts(pages))
    told = f"<b>{len(mended):,}</b> were wrong before and are right now"
    assert told in html
    for case in mended[:3]:
        assert "".join(case.after.split()).casefold() == "".join(case.truth.text.split()).casefold()  # type: ignore[union-attr]


def test_a_report_without_retraining_or_labels_says_only_what_is_known(pages: tuple[PageFacts, ...]) -> None:
    bare = tuple(PageFacts(page.image, page.before) for page in pages)
    html = to_html(Facts("mine", START, 12, "2 CPU cores", "A user's folder.", bare))
    found = outline(html)
    assert found.headings == ["Packline read 3 pages", "Pages", "Slowest and worst pages"]
    assert html.count("<polygon") == sum(len(page.before.lines) for page in bare)
    labelled = tuple(PageFacts(page.image, page.before, None, page.truth) for page in pages)
    html = to_html(Facts("mine", START, 12, "2 CPU cores", "", labelled, before=facts(pages).before))
    assert outline(html).headings[1] == "Errors" and "It reads now" not in html


def test_a_pdf_is_shown_as_the_engine_reads_it(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    PIL.Image.open(FOLDER / "holdout" / NAMES[0]).save(scan)
    line = TextLine(((40, 40), (300, 40), (300, 80), (40, 80)), "TESSALY")
    html = to_html(Facts("mine", START, 12, "2 CPU cores", "", (PageFacts(scan, Reading("v1", (line,), 0.2)),)))
    assert len(outline(html).links) == 1 and "scan.pdf" in html


def test_joined_and_cut_lines_are_read_where_they_stand() -> None:
    def line(text: str, left: float, right: float) -> TextLine:
        return TextLine(((left, 0), (right, 0), (right, 20), (left, 20)), text)

    truth = [line("GROSS", 0, 100), line("12.5 kg", 200, 340)]
    assert read_at(truth, [line("GROSS     12.5 kg", 0, 340)]) == ["GROSS", "12.5 kg"]
    assert read_at(truth, [line("GR", 0, 40), line("OSS", 42, 100)]) == ["GR OSS", ""]
    assert errors("GROSS", "GR oss") == 0
    assert errors("Ø12", "012") == 1


def test_differences_mark_what_was_read_wrongly() -> None:
    assert differences("012.00", "Ø12.00") == [("0", True), ("12.00", False)]
    assert differences("12.0", "12.00") in ([("12.0", False), ("", True)], [("12.", False), ("", True), ("0", False)])
    assert differences("same", "SAME") == [("same", False)]
