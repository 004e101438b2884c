from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packline_core.task import BadRow
from packline_ocr.domain import LabelledLine
from packline_ocr.formats import Labelled, read_labels, write_icdar, write_paddle

LINES = (
    LabelledLine(((1.0, 2.0), (30.0, 2.0), (30.0, 12.0), (1.0, 12.0)), "Total, net"),
    LabelledLine(((1.0, 22.0), (30.0, 22.0), (30.0, 32.0), (1.0, 32.0)), '№ 7 "x"'),
)


def test_paddle_file_is_read_as_written(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.png").touch()
    write_paddle(tmp_path / "Label.txt", [("img/a.png", LINES)])
    assert list(read_labels(tmp_path / "Label.txt")) == [
        Labelled(tmp_path / "img" / "a.png", LINES, f"{tmp_path / 'Label.txt'}:1")
    ]
    assert len(list(read_labels(tmp_path))) == 1


def test_images_named_with_their_folder_as_ppocrlabel_does(tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.png").touch()
    write_paddle(folder / "Label.txt", [("scans/a.png", LINES)])
    (row,) = read_labels(folder)
    assert isinstance(row, Labelled)
    assert row.image == folder.parent / "scans" / "a.png"


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "gt_a.txt"])
def test_icdar_files_are_read_as_written(name: str, tmp_path: Path) -> None:
    for folder in ("img", "box"):
        (tmp_path / folder).mkdir()
    (tmp_path / "img" / "a.jpg").touch()
    write_icdar(tmp_path / "box" / name, LINES)
    assert list(read_labels(tmp_path)) == [Labelled(tmp_path / "img" / "a.jpg", LINES, str(tmp_path / "box" / name))]


BAD_PADDLE = {
    "a.png": "no tab",
    "a.png\t{": "not JSON",
    "a.png\t{}": "not a list",
    'a.png\t[{"points": [[0,0],[1,0],[1,1],[0,1]]}]': "line 1 has no text",
    'a.png\t[{"transcription": "x"}]': "line 1 has no list",
    'a.png\t[{"transcription": "x", "points": [[0,0],[1,0],[1,1]]}]': "3 corners",
    'a.png\t[{"transcription": "x", "points": [[0,0],[1,0],[1,1],[0,NaN]]}]': "no finite number",
    "b.png\t[]": "no image b.png",
}


def test_bad_rows_of_a_paddle_file_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(["a.png\t[]", *BAD_PADDLE]), encoding="utf8")
    good, *bad = read_labels(labels)
    assert isinstance(good, Labelled)
    assert [(row.source, row.line) for row in bad if isinstance(row, BadRow)] == [
        (str(labels), number) for number in range(2, len(BAD_PADDLE) + 2)
    ]
    for row, expected in zip(bad, BAD_PADDLE.values(), strict=True):
        assert isinstance(row, BadRow)
        assert expected in row.reason


def test_bad_rows_of_an_icdar_file_keep_the_page_out(tmp_path: Path) -> None:
    for folder in ("img", "box"):
        (tmp_path / folder).mkdir()
    for name in ("a.jpg", "b.jpg", "notes.md"):
        (tmp_path / "img" / name).touch()
    (tmp_path / "box" / "a.csv").write_text(
        "0,0,9,0,9,9,0,9,good\n1,2,3,text\nx,0,9,0,9,9,0,9,t\ninf,0,9,0,9,9,0,9,t\n"
    )
    rows = list(read_labels(tmp_path))
    assert [(Path(row.source).name, row.line) for row in rows if isinstance(row, BadRow)] == [
        ("a.csv", 2),
        ("a.csv", 3),
        ("a.csv", 4),
        ("b.jpg", 0),
    ]
    assert len(rows) == 4


def test_nothing_to_read(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "missing"):
        (row,) = read_labels(source)
        assert isinstance(row, BadRow)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    (row,) = read_labels(tmp_path)
    assert isinstance(row, BadRow)
    assert "UTF-8" in row.reason


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_survives_a_paddle_file(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.png").touch()
    lines = (LabelledLine(LINES[0].points, text),)
    write_paddle(folder / "labels.txt", [("a.png", lines)])
    (row,) = read_labels(folder)
    assert isinstance(row, Labelled)
    assert row.lines == lines
