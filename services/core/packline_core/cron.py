"""A schedule's form: five cron fields, checked by rules that Kubernetes' API server can check too.

What is accepted here, cronsim accepts; the other way round it knows more (a seconds field, mixed or empty ranges).
"""

from __future__ import annotations

import re
from typing import Any

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_PAIRS = [f"{low}-({'|'.join(names[n + 1 :])})" for names in (_DAYS, _MONTHS) for n, low in enumerate(names[:-1])]
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
_NUMBERS, _WORDS, _RISING = "[0-9]+-[0-9]+", "(?i)[A-Z]{3}-[A-Z]{3}", f"(?i)^({'|'.join(_PAIRS)})$"
# Only days after the 29th, whatever day of the week: then a month that is named must have one.
_LATE = r"^\S+ \S+ 3[01][^ ,]*(,3[01][^ ,]*)* \S+ \*"
_MONTH = r"(?i)^\S+ \S+ \S+ (\S*,)?([^ ,/]+-[^ ,/]+[ ,]|({})[-/, ])"
_LONG = r"\*|0?[13578]|1[02]|JAN|MAR|MAY|JUL|AUG|OCT|DEC"
_WITH_31 = _MONTH.format(_LONG)
_WITH_30 = _MONTH.format(_LONG + "|0?[469]|11|APR|JUN|SEP|NOV")
_ON_30 = r"^\S+ \S+ (\S*,)?30"

RULES: tuple[dict[str, Any], ...] = (
    {"rule": f"self.matches(r'{PATTERN}')", "message": "write five cron fields, like 0 3 * * 0"},
    {
        "rule": f"self.findAll(r'{_NUMBERS}').all(r, int(r.split('-')[0]) < int(r.split('-')[1])) && "
        f"self.findAll(r'{_WORDS}').all(r, r.matches(r'{_RISING}'))",
        "message": "a range must rise, as in 8-18 or MON-FRI",
    },
    {
        "rule": f"!self.matches(r'{_LATE}') || self.matches(r'{_WITH_31}') || "
        f"(self.matches(r'{_ON_30}') && self.matches(r'{_WITH_30}'))",
        "message": "no month that is named has such a day",
    },
)


def check_schedule(text: str) -> str:
    """Gives a schedule back; raises ValueError with what is wrong with it. The same as `RULES`."""
    form, rising, existing = (f"{text!r} is no cron expression: {rule['message']}" for rule in RULES)
    if len(text) > MAX_LENGTH or not re.fullmatch(PATTERN, text):
        raise ValueError(form)
    numbers = [span.split("-") for span in re.findall(_NUMBERS, text)]
    words_rise = all(re.search(_RISING, span) for span in re.findall(_WORDS, text))
    if not words_rise or any(int(low) >= int(high) for low, high in numbers):
        raise ValueError(rising)
    on_30_alone = re.search(_ON_30, text) and re.search(_WITH_30, text)
    if re.search(_LATE, text) and not re.search(_WITH_31, text) and not on_30_alone:
        raise ValueError(existing)
    return text
