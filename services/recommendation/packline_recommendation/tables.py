"""Files of a log or an item list as rows: CSV, TSV, Parquet and RecBole's atomic files, one row in memory at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from packline_core.errors import InvalidInput
from packline_core.task import BadRow

_TEXT = frozenset({".csv", ".tsv", ".txt", ".inter", ".item"})
_UNQUOTED = frozenset({".tsv", ".inter", ".item"})
SUFFIXES = _TEXT | {".parquet"}
_NOT_DATA = frozenset({"readme", "license", "licence", "notice", "sha256sums", "attribution"})
_ENCODINGS = ("utf-8-sig", "cp949")
_SAMPLE = 1 << 16
_BATCH = 65_536

# What columns are called, most usual first; compared in lower case without blanks, dots, dashes and underscores.
USER = (
    "userid",
    "user",
    "customerid",
    "customer",
    "visitorid",
    "memberid",
    "accountid",
    "sessionid",
    "고객",
    "고객번호",
)
ITEM = (
    "itemid",
    "item",
    "productid",
    "product",
    "sku",
    "stockcode",
    "articleid",
    "asin",
    "품목",
    "품번",
    "상품",
    "상품번호",
)
TIME = ("timestamp", "time", "ts", "at", "datetime", "date", "invoicedate", "orderdate", "eventtime", "일시", "일자")
ORDER = ("order", "position", "sequence", "step")
EVENT = ("event", "eventtype", "type", "action", "behavior", "behaviour", "이벤트")
WEIGHT = ("weight",)
QUANTITY = ("quantity", "qty", "count", "units", "수량")
RATING = ("rating", "stars", "score", "평점")
EVENT_ID = ("eventid", "transactionid", "lineid")
TEXT = (
    "text",
    "title",
    "name",
    "itemname",
    "productname",
    "description",
    "desc",
    "품명",
    "상품명",
    "이름",
    "제목",
    "설명",
)
CONTEXT = ("country", "region", "city", "segment", "channel", "device", "store", "language", "국가", "지역")


@dataclass(frozen=True, slots=True)
class Table:
    """One file, opened.

    Attributes:
        path: The file.
        name: For messages.
        columns: As the header has them, without RecBole's types.
        types: RecBole's type of each column, empty elsewhere.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    def place(self, names: Sequence[str]) -> int | None:
        """Where the first column is that is called by one of these names."""
        plain = [plain_name(column) for column in self.columns]
        return next((plain.index(name) for name in names if name in plain), None)

    def rows(self) -> Iterator[tuple[int, Sequence[Any]] | BadRow]:
        """Each row with its line; lines that are no row of this table as such."""
        return _parquet_rows(self) if self.path.suffix == ".parquet" else _text_rows(self)


def plain_name(column: str) -> str:
    """A column's name as it is compared."""
    return "".join(character for character in column.lower() if character not in " ._-\ufeff")


def open_tables(source: Path) -> Iterator[Table | BadRow]:
    """The data files of a folder in any depth, in order of their names, or one file."""
    if not source.exists():
        yield BadRow(str(source), 0, "there is no such file or folder")
        return
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    chosen = [path for path in paths if _suffix(path) in SUFFIXES and path.name.split(".")[0].lower() not in _NOT_DATA]
    if not chosen:
        yield BadRow(source.name, 0, f"holds no {', '.join(sorted(SUFFIXES))} file")
    for path in chosen:
        name = path.name if source.is_file() else path.relative_to(source).as_posix()
        try:
            header = _header(path)
        except (OSError, EOFError, UnicodeError, csv.Error, pa.ArrowException, InvalidInput) as error:
            yield BadRow(name, 0, f"cannot be read: {error}")
            continue
        parts = [column.strip().partition(":") for column in header]
        yield Table(path, name, tuple(part[0] for part in parts), tuple(part[2] for part in parts))


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]


def _header(path: Path) -> Sequence[str]:
    if path.suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            return [str(name) for name in file.schema_arrow.names]
    with _opened(path) as stream:
        header: Sequence[str] | None = next(_reader(path, stream), None)
    if not header:
        raise InvalidInput("it is empty")
    return header


def _opened(path: Path) -> IO[str]:
    def opened(encoding: str, errors: str) -> IO[str]:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding=encoding, errors=errors, newline="")
        return path.open(encoding=encoding, errors=errors, newline="")

    for encoding in _ENCODINGS:
        try:
            with opened(encoding, "strict") as stream:
                stream.read(_SAMPLE)
            return opened(encoding, "replace")
        except UnicodeDecodeError:
            continue
    raise InvalidInput(f"it is in none of the encodings {', '.join(_ENCODINGS)}")


def _reader(path: Path, stream: IO[str]) -> Any:
    if _suffix(path) in _UNQUOTED:
        return csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
    start = stream.readline()
    stream.seek(0)
    return csv.reader(stream, delimiter=max(",;\t|", key=start.count))


def _text_rows(table: Table) -> Iterator[tuple[int, Sequence[Any]] | BadRow]:
    width = len(table.columns)
    with _opened(table.path) as stream:
        reader = _reader(table.path, stream)
        next(reader)
        while True:
            try:
                for row in reader:
                    if len(row) == width:
                        yield reader.line_num, row
                    elif row:
                        yield BadRow(table.name, reader.line_num, f"has {len(row)} columns where {width} are expected")
                return
            except csv.Error as error:
                yield BadRow(table.name, reader.line_num, f"cannot be read: {error}")
            except (OSError, EOFError) as error:
                yield BadRow(table.name, reader.line_num, f"ends in the middle: {error}")
                return


def _parquet_rows(table: Table) -> Iterator[tuple[int, Sequence[Any]] | BadRow]:
    line = 0
    try:
        with pq.ParquetFile(table.path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    line += 1
                    yield line, row
    except (OSError, pa.ArrowException) as error:
        yield BadRow(table.name, line, f"cannot be read: {error}")
