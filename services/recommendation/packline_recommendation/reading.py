"""From files to examples: logs are cut by user on disk, so that memory does not grow with their length.

Rows are kept in memory up to a bound; beyond it they go to files by the user's hash, and each file is then worked
through by itself.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from packline_core.task import BadRow, Example, State

from packline_recommendation.events import Raw, newest_apart, settled
from packline_recommendation.examples import (
    LONGEST_HISTORY,
    History,
    Query,
    history_example,
    item_example,
    next_example,
)
from packline_recommendation.parsing import Parsed, Row, is_item_list, is_log, item_parser, log_parser
from packline_recommendation.state import PackState
from packline_recommendation.tables import Table, open_tables

_T = TypeVar("_T")
_PARTS = 1024  # so that each holds fewer rows than `_IN_MEMORY` up to 200 million
_IN_MEMORY = 250_000  # rows, about 100 MB
_FEW = 0.5

_User = tuple[str, list[Raw], dict[str, str]]
# (user, item, event, weight, time, quantity, context, event id, where it stands), which `marshal` writes fast.
_Row = tuple[str, str, str, float | None, int, float, dict[str, str], str, tuple[str, int]]


def read_folder(source: Path, now: float) -> Iterator[Example | BadRow]:
    """Reads logs and item lists.

    Args:
        source: A file, or a folder of CSV, TSV, Parquet and RecBole files. Those with a user's column are logs.
        now: Seconds since 1970.
    """
    with TemporaryDirectory(prefix="packline-log-") as folder:
        log = UserRows(Path(folder))
        known = _Known()
        for table in open_tables(source):
            if isinstance(table, BadRow):
                yield table
            elif is_log(table):
                yield from _read_log(table, log, known, now)
            elif is_item_list(table):
                yield from _read_items(table, known)
            else:
                columns = ", ".join(table.columns[:12])
                yield BadRow(
                    table.name, 0, f"has no column of users or items (it has {columns}); name it user_id, item_id"
                )
        yield from known.mismatch(source.name)
        for row in log.users():
            if isinstance(row, BadRow):
                yield row
            else:
                yield from user_examples(*row, "import")


def user_examples(
    user: str, rows: Iterable[Raw], context: dict[str, str], source: str, key: str = ""
) -> Iterator[Example]:
    """What one user's rows give: its history, and what came last as an example to be judged by.

    A user who came but once has nothing to be predicted from: all of it is history.

    Args:
        user: Its id.
        rows: All that it did.
        context: What is known of it.
        source: For messages.
        key: Ends the history's key; its digest where left out.
    """
    events, hidden = settled(rows)
    before, newest = newest_apart(events)
    if not before:
        before, newest = newest, ()
    if not before and not hidden:
        return
    yield history_example(History(user, before, newest, hidden, context), source, key)
    if newest:
        query = Query(user, before[-LONGEST_HISTORY:], hidden, context, newest[0].time)
        yield next_example(query, newest, source)


def questions(source: Path, now: float) -> Iterator[Example | BadRow]:
    """Reads logs as what is to be predicted: of each user, all its events, with nothing but its id to go by.

    Args:
        source: As for `read_folder`.
        now: Seconds since 1970.
    """
    with TemporaryDirectory(prefix="packline-log-") as folder:
        log = UserRows(Path(folder))
        for table in open_tables(source):
            if isinstance(table, BadRow):
                yield table
            elif is_log(table):
                yield from _read_log(table, log, _Known(), now)
        for row in log.users():
            if isinstance(row, BadRow):
                yield row
                continue
            user, rows, context = row
            events, _ = settled(rows)
            if events:
                yield next_example(Query(user, (), (), context), events, f"user {user}")


def recorded_examples(state: State) -> Iterator[Example | BadRow]:
    """What a Pack's state holds: the events of each user that it was told of, and its item list."""
    pack = PackState(state)
    try:
        for _, item in pack.listed():
            yield item_example(item, "recorded")
        with TemporaryDirectory(prefix="packline-log-") as folder:
            log = UserRows(Path(folder))
            for told in pack.events():
                log.add((told.user, told.raw, told.context, ""), ("", 0))
            for row in log.users():
                if not isinstance(row, BadRow):
                    yield from user_examples(*row, "recorded", key="recorded")
    finally:
        pack.close()


class UserRows:
    """Rows of a log, collected and given back user by user.

    Args:
        folder: Where they go when memory's share is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[_Row] = []
        self._spilled = False

    def add(self, parsed: Parsed, where: tuple[str, int]) -> None:
        """Takes one row, and where it stands."""
        user, raw, context, event_id = parsed
        row = (user, raw.item, raw.event, raw.weight, raw.time, raw.quantity, dict(context), event_id)
        self._waiting.append((*row, where if event_id else ("", 0)))
        if len(self._waiting) >= _IN_MEMORY:
            self._spill()

    def users(self) -> Iterator[_User | BadRow]:
        """Each user with its rows in the order they came, and the newest value of each part of its context; rows that
        repeat an event's id as bad ones.
        """
        if not self._spilled:
            yield from _by_user(self._waiting)
            return
        self._spill()
        for path in map(self._path, range(_PARTS)):
            if path.exists():
                yield from _by_user(_spilled(path))
                path.unlink()

    def _spill(self) -> None:
        self._spilled = True
        parts: list[list[_Row]] = [[] for _ in range(_PARTS)]
        for row in self._waiting:
            parts[zlib.crc32(row[0].encode()) % _PARTS].append(row)
        for number, part in enumerate(parts):
            if part:
                with self._path(number).open("ab") as file:  # more files than a process may keep open
                    marshal.dump(part, file)
        self._waiting = []

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number}"


@dataclass
class _Known:
    """Ids of the log and of the item list, to see whether they speak of the same items."""

    logged: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)

    def mismatch(self, source: str) -> Iterator[BadRow]:
        """Says where the two lists differ too much to be of one shop."""
        if not self.logged or not self.listed:
            return
        common = len(self.logged & self.listed)
        if common < _FEW * len(self.logged):
            stranger = min(self.logged - self.listed)
            yield BadRow(
                source,
                0,
                f"the item list does not match the log: it has {common} of the {len(self.logged)} items taken, "
                f"and not {stranger!r}; ids must be written alike in both",
            )


def _read_log(table: Table, log: UserRows, known: _Known, now: float) -> Iterator[BadRow]:
    count = 0
    for row in _parsed(table, log_parser(table, now)):
        if isinstance(row, BadRow):
            yield row
            continue
        line, parsed = row
        known.logged.add(parsed[1].item)
        log.add(parsed, (table.name, line))
        count += 1
    if not count:
        yield BadRow(table.name, 0, "holds no event")


def _read_items(table: Table, known: _Known) -> Iterator[Example | BadRow]:
    parse = item_parser(table)
    count = 0
    for row in _parsed(table, lambda _, values: parse(values)):
        if isinstance(row, BadRow):
            yield row
            continue
        line, item = row
        if item.id in known.listed:
            yield BadRow(table.name, line, f"repeats item {item.id}; its first row holds")
            continue
        known.listed.add(item.id)
        count += 1
        yield item_example(item, f"{table.name} line {line}")
    if not count:
        yield BadRow(table.name, 0, "holds no item")


def _parsed(table: Table, parse: Callable[[int, Row], _T]) -> Iterator[tuple[int, _T] | BadRow]:
    for row in table.rows():
        if isinstance(row, BadRow):
            yield row
            continue
        line, values = row
        try:
            yield line, parse(line, values)
        except ValueError as error:
            yield BadRow(table.name, line, str(error))


def _spilled(path: Path) -> Iterator[_Row]:
    with path.open("rb") as stream:
        while True:
            try:
                yield from marshal.load(stream)
            except EOFError:
                return


def _by_user(rows: Iterable[_Row]) -> Iterator[_User | BadRow]:
    users: dict[str, tuple[list[Raw], dict[str, str]]] = {}
    ids: set[tuple[str, str]] = set()
    for user, item, event, weight, time, quantity, context, event_id, where in rows:
        if event_id:
            if (user, event_id) in ids:
                yield BadRow(*where, f"repeats event {event_id}")
                continue
            ids.add((user, event_id))
        there = users.get(user)
        if there is None:
            there = users[user] = ([], {})
        there[0].append(Raw(item, event, weight, time, quantity))
        there[1].update(context)
    for user, (events, context) in users.items():
        yield user, events, context
