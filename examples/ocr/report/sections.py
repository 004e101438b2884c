"""The parts of the report below its first screen: each returns HTML, empty where it has nothing to say."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from examples.ocr.report.charts import timeline
from examples.ocr.report.compare import LineCase, differences
from examples.ocr.report.facts import Facts, ModelScore
from examples.ocr.report.pictures import crop
from examples.ocr.report.summary import chart_scores
from examples.ocr.report.words import count, duration, percent


def section(title: str, korean: str, *parts: str) -> str:
    """A part of the report with its heading in two languages."""
    return f'<section><h2>{title}</h2><p class="ko" lang="ko">{korean}</p>{"".join(parts)}</section>'


def _marked(read: str, truth: str, wrong: int) -> str:
    if not read:
        return '<span class="nothing">nothing</span>'
    if not wrong:
        return f'<span class="read right">{escape(read)}</span>'
    pieces = (
        escape(text) if not bad else f"<i>{escape(text)}</i>" if text else '<i class="gap"></i>'
        for text, bad in differences(read, truth)
    )
    return f'<span class="read">{"".join(pieces)}</span>'


def _case_row(case: LineCase) -> str:
    now = "" if case.after is None else f"<td>{_marked(case.after, case.truth.text, case.errors_after or 0)}</td>"
    return (
        f"<tr><td>{crop(case.page.image, case.truth.points)}"
        f'<div class="case-page">{escape(case.page.image.name)}</div></td>'
        f"<td>{_marked(case.before, case.truth.text, case.errors_before)}</td>{now}"
        f'<td><span class="read">{escape(case.truth.text)}</span></td></tr>'
    )


def _case_table(cases: Sequence[LineCase]) -> str:
    now = "" if cases[0].after is None else "<th>It reads now</th>"
    read = "It read before" if now else "It read"
    head = f"<tr><th>On the paper</th><th>{read}</th>{now}<th>What it says</th></tr>"
    return f'<div class="card"><table>{head}{"".join(map(_case_row, cases))}</table></div>'


def _spread(cases: Sequence[LineCase], limit: int) -> list[LineCase]:
    """At most `limit` cases, the gravest of each page before a second of any page."""
    by_page: dict[str, list[LineCase]] = {}
    for case in sorted(cases, key=lambda c: -abs(c.errors_before - (c.errors_after or 0))):
        by_page.setdefault(case.page.image.name, []).append(case)
    rounds = max(map(len, by_page.values()), default=0)
    return [group[i] for i in range(rounds) for group in by_page.values() if i < len(group)][:limit]


def error_cases(cases: Sequence[LineCase], limit: int = 14) -> str:
    """Lines that were read wrongly: mended, still wrong, newly wrong, each with its picture."""
    wrong = [case for case in cases if case.errors_before or case.errors_after]
    if not wrong:
        return ""
    if wrong[0].after is None:
        intro = f"<p>{count(len(wrong), 'line')} of {len(cases):,} were not read as they are written.</p>"
        return section("Errors", "잘못 읽은 줄", intro, _case_table(_spread(wrong, limit)))
    mended = [case for case in wrong if case.errors_before and not case.errors_after]
    still = [case for case in wrong if case.errors_before and case.errors_after]
    newly = [case for case in wrong if not case.errors_before and case.errors_after]
    intro = (
        f"<p>Of {len(cases):,} lines on these pages, <b>{len(mended):,}</b> were wrong before and are right now, "
        f"<b>{len(still):,}</b> are still wrong in some place, and <b>{len(newly):,}</b> were right and are wrong now. "
        "Wrong characters are marked; a caret stands where one is missing.</p>"
    )
    parts = [_case_table(_spread(mended, limit))] if mended else []
    rest = _spread(still, limit // 2) + _spread(newly, limit // 3)
    if rest:
        parts.append(f"<details><summary>Lines that are still, or newly, wrong</summary>{_case_table(rest)}</details>")
    return section("What it read before, and what it reads now", "교정 전후 판독 비교", intro, *parts)


def timelines(facts: Facts) -> str:
    """Who answered when, and every step with its reason."""
    parts = []
    for line in facts.timelines:
        moments = "".join(
            f"<li><time>{duration((m.at - line.started_at).total_seconds())}</time>{escape(m.message)}</li>"
            for m in line.moments
        )
        parts.append(
            f'<div class="card"><h3>Pack {escape(line.pack)}</h3>{timeline(line)}'
            f'<ol class="moments">{moments}</ol></div>'
        )
    if not parts:
        return ""
    intro = (
        "<p>The coloured area shows which version answered the calls. A new version first reads along unseen, then "
        "answers a small share of the calls, then more; at each step it is compared with the old one.</p>"
    )
    return section("How the new model took over", "새 모델의 단계적 적용 과정", intro, *parts)


def safeguards(facts: Facts) -> str:
    """Harm that was tried on purpose, and what became of it."""
    cards = "".join(
        f'<div class="card"><h3>{escape(s.title)}</h3><p>{escape(s.tried)}</p><p>{escape(s.happened)}</p>'
        f'<span class="{"held" if s.held else "failed"}">{"Held" if s.held else "Did not hold"}</span></div>'
        for s in facts.safeguards
    )
    if not cards:
        return ""
    intro = "<p>The demo also tries to do harm, to show that a bad model does not stay.</p>"
    return section(
        "What happens when a model is bad", "나쁜 모델을 막는 장치", intro, f'<div class="cards">{cards}</div>'
    )


def _score_row(score: ModelScore) -> str:
    exact = (
        f"{percent(score.exact.value)} ({percent(score.exact.low)} – {percent(score.exact.high)})"
        if score.exact
        else ""
    )
    speed = "" if score.pages_per_second is None else f"{score.pages_per_second:.2f}"
    return (
        f"<tr><td>{escape(score.label)}</td><td>{escape(score.model_version)}</td>"
        f'<td class="number">{percent(score.cer.value)}</td>'
        f'<td class="number">{percent(score.cer.low)} – {percent(score.cer.high)}</td>'
        f'<td class="number">{exact}</td><td class="number">{speed}</td><td class="number">{score.pages}</td></tr>'
    )


def scores(facts: Facts) -> str:
    """All scored models side by side."""
    rows = "".join(map(_score_row, chart_scores(facts)))
    if not rows:
        return ""
    head = (
        '<tr><th>Model</th><th>Version</th><th class="number">Characters wrong</th>'
        '<th class="number">90 % interval</th>'
        '<th class="number">Lines without error</th><th class="number">Pages/s</th><th class="number">Pages</th></tr>'
    )
    note = (
        '<p class="soft small">Characters wrong is the edit distance between what was read and what the page says, '
        "as a share of its characters (CER; spaces and case aside). The interval is bootstrapped over pages.</p>"
    )
    return section("Scores", "점수와 90 % 신뢰 구간", f'<div class="card"><table>{head}{rows}</table></div>', note)
