"""The first screen: what happened, in words that need no knowledge of AI, and four figures."""

from __future__ import annotations

from html import escape

from examples.ocr.report.charts import bars
from examples.ocr.report.facts import Facts, Learning, ModelScore
from examples.ocr.report.words import count, duration, percent


def _figure(value: str, text: str, korean: str) -> str:
    return f'<div class="figure"><b>{value}</b><span>{text}</span><span class="ko" lang="ko">{korean}</span></div>'


def _headline(facts: Facts) -> str:
    if facts.before and facts.after and facts.after.cer.value < facts.before.cer.value:
        fewer = 1 - facts.after.cer.value / facts.before.cer.value if facts.before.cer.value else 0
        return f"Packline learned from corrections and now makes {percent(fewer)} fewer reading errors"
    if facts.after:
        return "Packline learned from corrections; its reading errors did not become fewer"
    return f"Packline read {count(len(facts.pages), 'page')}"


def _learned(learning: Learning) -> str:
    taught = learning.corrected_pages - learning.golden_pages
    aside = f"; {learning.golden_pages} were kept aside to judge the new model" if learning.golden_pages else ""
    return (
        f"People corrected {count(learning.corrected_pages, 'other page')}. Packline learned from {taught} of them"
        f"{aside}. Nobody wrote a rule, tuned a setting or chose a model."
    )


def _lead(facts: Facts) -> str:
    characters = sum(len("".join(line.text.split())) for page in facts.pages for line in page.truth)
    parts = []
    if facts.before:
        per_page = characters / max(len(facts.pages), 1)
        sentence = (
            f"On {count(facts.before.pages, 'page')} that it had never seen, the model it started with misread "
            f"{100 * facts.before.cer.value:.1f} of every 100 characters"
        )
        if facts.after:
            was, now = (per_page * score.cer.value for score in (facts.before, facts.after))
            sentence += (
                f". Now it misreads {100 * facts.after.cer.value:.1f}: on a page of {per_page:.0f} characters, "
                f"{was:.0f} errors became {now:.0f}"
            )
        parts.append(sentence + ".")
    if facts.learning:
        parts.append(_learned(facts.learning))
    if facts.traffic:
        lost = "not one was lost" if not facts.traffic.failed else f"{facts.traffic.failed} of them failed"
        parts.append(f"The new model took over step by step while {facts.traffic.calls:,} calls were answered; {lost}.")
    return " ".join(parts)


def _figures(facts: Facts) -> list[str]:
    figures = []
    if facts.before:
        was = percent(facts.before.cer.value)
        if facts.after:
            value = f'<em class="was">{was}</em> → {percent(facts.after.cer.value)}'
            figures.append(
                _figure(value, "of the characters misread, before and after", "잘못 읽은 글자 비율 (전 → 후)")
            )
        else:
            figures.append(_figure(was, "of the characters misread", "잘못 읽은 글자 비율"))
    if facts.learning and facts.learning.seconds_to_active is not None:
        figures.append(
            _figure(
                duration(facts.learning.seconds_to_active),
                "from the last correction to the new model at work",
                "마지막 교정부터 새 모델 적용까지",
            )
        )
    if facts.traffic:
        figures.append(
            _figure(
                f"{facts.traffic.failed} of {facts.traffic.calls:,}",
                "calls failed while models were exchanged",
                "모델 교체 중 실패한 호출 수",
            )
        )
    seconds = [(page.after or page.before).seconds for page in facts.pages]
    if seconds:
        figures.append(
            _figure(
                duration(sorted(seconds)[len(seconds) // 2]),
                "to read a page, as its sender sees it",
                "한 쪽을 읽는 데 걸린 시간 (중앙값)",
            )
        )
    return figures


def chart_scores(facts: Facts) -> list[ModelScore]:
    """All scored models, those that the Pack began and ended with first."""
    return [score for score in (facts.before, facts.after, *facts.others) if score]


def first_screen(facts: Facts) -> str:
    """The header of the report."""
    scores = chart_scores(facts)
    chart = (
        f'<div class="card"><h3>Characters read wrongly, on the same pages</h3>{bars(scores, facts.after)}'
        '<p class="soft small">The thin line is the 90 % interval: how far chance alone could move the figure with so '
        "many pages. "
        '<span class="ko" lang="ko">가는 선은 90 % 신뢰 구간입니다.</span></p></div>'
        if scores
        else ""
    )
    return (
        f'<header><div class="kind">Pack {escape(facts.pack)} · {facts.made_at:%Y-%m-%d %H:%M} · '
        f"{escape(facts.machine)}</div>"
        f'<h1>{_headline(facts)}</h1><p class="lead">{_lead(facts)}</p>'
        f'<div class="figures">{"".join(_figures(facts))}</div>{chart}</header>'
    )
