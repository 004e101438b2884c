"""The pages themselves: those read worst and slowest, with boxes and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from examples.ocr.report.compare import LineCase
from examples.ocr.report.facts import Facts, PageFacts
from examples.ocr.report.pictures import Mark, marks_of, page_with_boxes
from examples.ocr.report.sections import section
from examples.ocr.report.words import count, duration, percent

Cases = Mapping[PageFacts, Sequence[LineCase]]


def _now(page: PageFacts) -> float:
    return (page.after or page.before).seconds


def _wrong(cases: Sequence[LineCase], after: bool) -> int:
    return sum((case.errors_after or 0) if after else case.errors_before for case in cases)


def _style(case: LineCase) -> str:
    wrong = case.errors_before if case.errors_after is None else case.errors_after
    return "wrong" if wrong else "fixed" if case.errors_before else "right"


def _marks(page: PageFacts, cases: Sequence[LineCase]) -> list[Mark]:
    if not cases:
        return marks_of((page.after or page.before).lines, "read")
    return [Mark(c.truth.points, c.before if c.after is None else c.after, _style(c)) for c in cases]


def _told(page: PageFacts, cases: Sequence[LineCase]) -> str:
    reading = page.after or page.before
    told = (
        f"{count(len(reading.lines), 'line')} in {duration(reading.seconds)}, read by {escape(reading.model_version)}"
    )
    if not cases:
        return told
    now = f", {_wrong(cases, True)} now" if page.after else ""
    return f"{told}; wrong characters: {_wrong(cases, False)} before{now}"


def _card(page: PageFacts, cases: Sequence[LineCase]) -> str:
    pictures = page_with_boxes(page.image, _marks(page, cases))
    return (
        f'<div class="card"><h3>{escape(page.image.name)}</h3><div class="soft small">{_told(page, cases)}</div>'
        f'<div class="pair">{pictures}</div></div>'
    )


def pages(facts: Facts, cases: Cases, limit: int = 8) -> str:
    """A choice of pages with what was read on them: most errors before, slowest, then one after another."""
    worst = sorted(facts.pages, key=lambda page: -_wrong(cases[page], False))[: limit // 2]
    slowest = sorted(facts.pages, key=lambda page: -_now(page))[: limit // 4]
    chosen = list(dict.fromkeys([*worst, *slowest, *facts.pages]))[:limit]
    if not chosen:
        return ""
    key = (
        '<p class="key small"><span><i></i>read rightly</span><span><i class="fixed"></i>wrong before, right now</span>'
        '<span><i class="wrong"></i>wrong</span></p>'
        if any(cases.values())
        else '<p class="key small"><span><i class="read"></i>read; there is no truth to judge it by</span></p>'
    )
    intro = (
        f"<p>{len(chosen)} of {count(len(facts.pages), 'page')}: on the left the paper, on the right what was read.</p>"
    )
    cards = [_card(page, cases[page]) for page in chosen]
    more = (
        f"<details><summary>{count(len(cards) - 3, 'more page')}</summary>{''.join(cards[3:])}</details>"
        if len(cards) > 3
        else ""
    )
    return section("Pages", "문서와 판독 결과", intro, key, *cards[:3], more)


def _row(page: PageFacts, cases: Sequence[LineCase]) -> str:
    characters = sum(len("".join(case.truth.text.split())) for case in cases) or 1
    before, after = _wrong(cases, False) / characters, _wrong(cases, True) / characters
    now = f"{percent(after)}" if page.after else ""
    judged = (
        f'<td class="number">{percent(before)}</td><td class="number">{now}</td>' if cases else "<td></td><td></td>"
    )
    return f'<tr><td>{escape(page.image.name)}</td><td class="number">{duration(_now(page))}</td>{judged}</tr>'


def _table(title: str, pages: Sequence[PageFacts], cases: Cases) -> str:
    head = (
        '<tr><th>Page</th><th class="number">Time</th><th class="number">Wrong before</th>'
        '<th class="number">Wrong now</th></tr>'
    )
    rows = "".join(_row(page, cases[page]) for page in pages)
    return f'<div class="card"><h3>{title}</h3><table>{head}{rows}</table></div>'


def extremes(facts: Facts, cases: Cases, limit: int = 6) -> str:
    """Tables of the slowest pages and of those with the most errors left."""
    if not facts.pages:
        return ""
    slowest = sorted(facts.pages, key=lambda page: -_now(page))[:limit]
    tables = [_table("Slowest", slowest, cases)]
    if any(cases.values()):
        worst = sorted(facts.pages, key=lambda page: -_wrong(cases[page], page.after is not None))[:limit]
        tables.append(_table("Most errors left", worst, cases))
    return section(
        "Slowest and worst pages", "가장 느린 쪽과 오류가 가장 많은 쪽", f'<div class="cards">{"".join(tables)}</div>'
    )
