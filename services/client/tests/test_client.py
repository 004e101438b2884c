"""Both clients against a real server: answers, errors, deadlines, repeats, streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from packline_client import AsyncClient, Client
from packline_client.ocr import LARGE
from packline_core.errors import DeadlineExceeded, InvalidInput, NotFound, Overloaded, Unavailable

from .conftest import Peer


def test_an_answer_comes_as_dataclasses(client: Client, peer: Peer) -> None:
    document = client.ocr.recognize("invoices", b"hello", request_key="customer 7")
    assert (document.prediction_id, document.model_version, document.page_count) == ("p1", "v1", 1)
    (line,) = document.pages[0].lines
    assert line.text == document.text == "invoices hello"
    assert line.points == ((1, 2), (3, 2), (3, 4), (1, 4))
    assert (peer.calls[0].application, peer.calls[0].request_key) == ("invoices", "customer 7")
    assert peer.calls[0].deadline is not None


async def test_asyncio_has_the_same_calls(address: str) -> None:
    async with AsyncClient(address, timeout=20) as client:
        read = await asyncio.gather(*(client.ocr.recognize("a", f"page {i}".encode()) for i in range(5)))
    assert [document.text for document in read] == [f"a page {i}" for i in range(5)]


def test_an_error_says_reason_and_field(client: Client) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.ocr.recognize("a", b"bad")
    assert (raised.value.reason, raised.value.field) == ("NOT_AN_IMAGE", "document")
    assert str(raised.value) == "the document is no image"


def test_an_overloaded_pack_is_asked_again_after_the_time_it_names(client: Client, peer: Peer) -> None:
    assert client.ocr.recognize("a", b"busy 2").text == "a busy 2"
    assert len(peer.calls) == 3


def test_patience_with_an_overloaded_pack_ends(client: Client, peer: Peer) -> None:
    with pytest.raises(Overloaded) as raised:
        client.ocr.recognize("a", b"busy 99")
    assert raised.value.retry_after == pytest.approx(0.05)
    assert len(peer.calls) == 5


def test_no_pause_goes_past_the_deadline(client: Client, peer: Peer) -> None:
    with pytest.raises(Overloaded):
        client.ocr.recognize("a", b"full 99", timeout=20)
    assert len(peer.calls) == 1


def test_a_peer_that_is_away_is_asked_again(client: Client, peer: Peer) -> None:
    assert client.ocr.recognize("a", b"away 2").text == "a away 2"
    assert len(peer.calls) == 3


def test_without_retries_every_call_is_made_once(address: str, peer: Peer) -> None:
    with Client(address, timeout=20, retries=False) as client:
        for document, error in ((b"away 1", Unavailable), (b"busy 1", Overloaded)):
            with pytest.raises(error):
                client.ocr.recognize("a", document)
    assert len(peer.calls) == 2


def test_deadlines_end_calls(client: Client) -> None:
    with pytest.raises(DeadlineExceeded):
        client.ocr.recognize("a", b"slow", timeout=0.3)


async def test_deadlines_end_asyncio_calls(address: str) -> None:
    async with AsyncClient(address, timeout=0.3) as client:
        with pytest.raises(DeadlineExceeded):
            await client.ocr.recognize("a", b"slow")


def test_nobody_there_is_unavailable() -> None:
    with Client("127.0.0.1:1", timeout=5, retries=False) as client, pytest.raises(Unavailable) as raised:
        client.ocr.recognize("a", b"hello")
    assert raised.value.reason == "UNREACHABLE"


def test_large_files_go_up_in_pieces(client: Client, peer: Peer, tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(b"large " + b"x" * LARGE)
    assert client.ocr.recognize("a", path, first_page=2, last_page=3).text.startswith("a large xxx")
    assert sum(peer.sizes) == LARGE + 6
    assert max(peer.sizes) == 1 << 20
    assert (peer.firsts[0].pack, peer.firsts[0].first_page, peer.firsts[0].last_page) == ("a", 2, 3)


async def test_asyncio_uploads(address: str, peer: Peer) -> None:
    async with AsyncClient(address, timeout=20) as client:
        assert (await client.ocr.upload("a", b"small")).text == "a small"
    assert sum(peer.sizes) == 5


def test_a_missing_file_is_said_before_any_call(client: Client, peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        client.ocr.recognize("a", tmp_path / "none.png")
    with pytest.raises(InvalidInput, match="is a folder"):
        client.ocr.upload("a", tmp_path)
    assert not peer.calls


def test_a_stream_answers_in_order_and_goes_on_after_a_bad_page(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    path.write_bytes(b"from a file")
    answers = list(client.ocr.stream("a", [b"first", b"bad", path]))
    assert [answer.index for answer in answers] == [0, 1, 2]
    assert [answer.document and answer.document.text for answer in answers] == ["a first", None, "a from a file"]
    assert isinstance(answers[1].error, InvalidInput)
    assert answers[1].error.reason == "NOT_AN_IMAGE"


def test_a_stream_may_be_left_early(client: Client) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"page"

    answers = client.ocr.stream("a", endless())
    assert next(answers).index == 0
    answers.close()  # type: ignore[attr-defined]
    assert client.ocr.recognize("a", b"after").text == "a after"


async def test_asyncio_streams_from_either_kind_of_iterator(address: str) -> None:
    async def scanner() -> AsyncIterator[bytes]:
        for i in range(3):
            await asyncio.sleep(0)
            yield f"page {i}".encode()

    async with AsyncClient(address, timeout=20) as client:
        scanned = [answer.document and answer.document.text async for answer in client.ocr.stream("a", scanner())]
        listed = [answer.document and answer.document.text async for answer in client.ocr.stream("a", [b"x", b"y"])]
    assert scanned == ["a page 0", "a page 1", "a page 2"]
    assert listed == ["a x", "a y"]


def test_what_the_source_of_a_stream_raises_reaches_the_caller(client: Client, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        list(client.ocr.stream("a", [b"first", tmp_path / "none.png"]))


async def test_what_the_source_raises_reaches_the_caller_in_asyncio(address: str, tmp_path: Path) -> None:
    async with AsyncClient(address, timeout=20) as client:
        with pytest.raises(NotFound, match="no such file"):
            [answer async for answer in client.ocr.stream("a", [b"first", tmp_path / "none.png"])]


def test_an_async_iterator_needs_the_async_client(client: Client) -> None:
    async def pages() -> AsyncIterator[bytes]:
        yield b"page"

    with pytest.raises(InvalidInput, match="use AsyncClient"):
        list(client.ocr.stream("a", pages()))
