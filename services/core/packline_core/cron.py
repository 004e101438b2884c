"""A schedule's form: five cron fields, checked by rules that Kubernetes' API server can check too.

What is accepted here, cronsim accepts; the other way round it knows more (a seconds field, mixed or empty ranges).
"""

from __future__ import annotations

import re
from typing import Any

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NAMES = [*_DAYS, *_MONTHS]
MAX_LENGTH = 100


def _field(number: str, names: tuple[str, ...] = (), special: str = "") -> str:
    """A field: terms between commas, each `*`, a value or a range, the first and last with or without a step."""
    name = "|".join(names)
    values, ranges = number, f"{number}-{number}"
    if names:
        values, ranges = f"(?:{number}|{name})", f"(?:{number}-{number}|(?:{name})-(?:{name}))"
    term = f"(?:(?:\\*|{ranges})(?:/[1-9][0-9]?)?|{values}{special})"
    return f"{term}(?:,{term})*"


PATTERN = "(?i)^{}$".format(
    " ".join(
        (
            _field("[0-5]?[0-9]"),
            _field("(?:[01]?[0-9]|2[0-3])"),
            _field("(?:0?[1-9]|[12][0-9]|3[01])", special="|LW?"),
            _field("(?:0?[1-9]|1[0-2])", _MONTHS),
            _field("[0-7]", _DAYS, special="|[0-7]L|[0-7]#[1-5]"),
        )
    )
)
_NO_31 = "^(0?2|FEB|0?[469]|11|APR|JUN|SEP|NOV)(-|$)"
_NO_30 = "^(0?2|FEB)(-|$)"
_LATE = "^3[01]"

RULES: tuple[dict[str, Any], ...] = (
    {"rule": f"self.matches(r'{PATTERN}')", "message": "write five cron fields, like 0 3 * * 0"},
    {
        "rule": "self.upperAscii().split(' ').all(f, f.split(',').all(t, !t.contains('-') || (t.matches('^[0-9]') "
        "? int(t.split('/')[0].split('-')[0]) < int(t.split('/')[0].split('-')[1]) "
        f": {_NAMES}.indexOf(t.split('/')[0].split('-')[0]) < {_NAMES}.indexOf(t.split('/')[0].split('-')[1]))))",
        "message": "a range must rise, as in 8-18 or MON-FRI",
    },
    {
        "rule": f"!self.split(' ')[2].split(',').all(d, d.matches('{_LATE}')) || !self.split(' ')[4].startsWith('*') "
        "|| self.upperAscii().split(' ')[3].split(',').exists(m, (m.contains('-') && !m.contains('/')) || "
        f"!m.matches(self.split(' ')[2].split(',').exists(d, d.startsWith('30')) ? '{_NO_30}' : '{_NO_31}'))",
        "message": "no month that is named has such a day",
    },
)


def check_schedule(text: str) -> str:
    """Gives a schedule back; raises ValueError with what is wrong with it. The same as `RULES`."""
    wrong = f"{text!r} is no cron expression"
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN, text):
        raise ValueError(f"{wrong}; {RULES[0]['message']}")
    fields = [field.split(",") for field in text.upper().split(" ")]
    for term in (term for field in fields for term in field if "-" in term):
        low, high = term.split("/")[0].split("-")
        if not (int(low) < int(high) if low.isdigit() else _NAMES.index(low) < _NAMES.index(high)):
            raise ValueError(f"{wrong}: {RULES[1]['message']}")
    _, _, days, months, weekdays = fields
    if all(re.match(_LATE, day) for day in days) and weekdays[0].startswith("*"):
        short = _NO_30 if any(day.startswith("30") for day in days) else _NO_31
        if not any(("-" in month and "/" not in month) or not re.match(short, month) for month in months):
            raise ValueError(f"{wrong}: {RULES[2]['message']}")
    return text
