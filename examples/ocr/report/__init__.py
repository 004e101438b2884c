"""The demo's report: facts in, one HTML file out that needs no network and nothing beside it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from examples.ocr.report import gallery, sections
from examples.ocr.report.compare import line_cases
from examples.ocr.report.facts import Facts
from examples.ocr.report.summary import first_screen
from examples.ocr.report.words import duration

_STYLE = Path(__file__).with_name("style.css")


def to_html(facts: Facts) -> str:
    """Draws a report.

    Args:
        facts: What happened; the pictures of its pages are read from their files.

    Returns:
        One self-contained HTML page: styles inline, pictures as data URIs, no script.

    Raises:
        InvalidInput: a page is no document that the engine reads.
        OSError: a page cannot be opened.
    """
    cases = {page: line_cases(page) for page in facts.pages}
    parts = (
        first_screen(facts),
        sections.error_cases([case for of_page in cases.values() for case in of_page]),
        sections.timelines(facts),
        sections.safeguards(facts),
        gallery.pages(facts, cases),
        gallery.extremes(facts, cases),
        sections.scores(facts),
        f"<footer><p>{escape(facts.data_note)}</p><p>The whole demo took {duration(facts.seconds)} on "
        f"{escape(facts.machine)}. Every figure here was measured in it.</p></footer>",
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(facts.pack)}: what Packline did</title>"
        f"<style>{_STYLE.read_text(encoding='utf8')}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )
