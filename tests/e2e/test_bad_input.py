"""Bad input over the real path: each is a clear status with a reason, and the Pack answers on."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pypdfium2
import pytest
from packline.ocr.v1 import ocr_pb2, ocr_pb2_grpc
from packline_client import AsyncClient, Client
from packline_client.training_types import RunKind, RunState
from packline_core.errors import DeadlineExceeded, InvalidInput, NotFound, PacklineError
from packline_core.status import error_from_call
from PIL import Image

from tests.e2e.conftest import EXAMPLE, PACK, Platform

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PAGE = sorted((EXAMPLE / "documents" / "holdout" / "img").glob("*.jpg"))[0]


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=120) as made:
        yield made


@pytest.fixture(autouse=True)
def _answers_on(client: Client) -> Iterator[None]:
    yield
    assert client.ocr.recognize(PACK, PAGE).pages[0].lines


def encoded(image: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def bomb() -> bytes:
    """A PNG of 100 KB that would be 1.6 GB of pixels."""
    side = 40_000

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + side // 8)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pdf(pages: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(200, 280).close()
    stream = io.BytesIO()
    document.save(stream)
    document.close()
    return stream.getvalue()


def encrypted_pdf() -> bytes:
    """A PDF whose password nobody knows: its hashes are random."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 280] >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"5A" * 32 + b"> /U <" + b"A5" * 32 + b"> >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    ids = b"/ID [<00112233445566778899AABBCCDDEEFF> <00112233445566778899AABBCCDDEEFF>]"
    start = len(out)
    out += b"xref\n0 5\n0000000000 65535 f \n" + table
    return out + b"trailer\n<< /Size 5 /Root 1 0 R /Encrypt 4 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (ids, start)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "EMPTY"),
    "not an image": (lambda: b"just some words", "NOT_AN_IMAGE"),
    "truncated JPEG": (lambda: PAGE.read_bytes()[:4000], "IMAGE_CORRUPT"),
    "decompression bomb": (bomb, "IMAGE_TOO_LARGE"),
    "encrypted PDF": (encrypted_pdf, "PDF_ENCRYPTED"),
    "broken PDF": (lambda: b"%PDF-1.4 and nothing more", "PDF_CORRUPT"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_with_a_reason(client: Client, name: str) -> None:
    make, reason = REFUSED[name]
    document = make()
    for read in (client.ocr.recognize, client.ocr.upload):
        with pytest.raises(InvalidInput) as raised:
            read(PACK, document)
        assert raised.value.reason == reason
        assert raised.value.field == "document"
        assert len(raised.value.message) > 20


def test_a_bad_page_of_a_stream_is_answered_and_the_stream_goes_on(client: Client) -> None:
    documents = [PAGE.read_bytes(), *(make() for make, _ in REFUSED.values()), PAGE.read_bytes()]
    answers = list(client.ocr.stream(PACK, documents))
    assert [answer.index for answer in answers] == list(range(len(documents)))
    assert [answer.error.reason if answer.error else "" for answer in answers] == [
        "",
        *(reason for _, reason in REFUSED.values()),
        "",
    ]


@pytest.mark.parametrize("form", ["16-bit", "CMYK"])
def test_uncommon_depths_and_colours_are_read_as_the_page_that_they_are(client: Client, form: str) -> None:
    with Image.open(PAGE) as page:
        grey = np.asarray(page.convert("L"))
        deep = encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG")
        document = deep if form == "16-bit" else encoded(page.convert("CMYK"), "JPEG")
    plain = set(client.ocr.recognize(PACK, PAGE).text.split())
    read = set(client.ocr.recognize(PACK, document).text.split())
    assert len(plain & read) > 0.7 * len(plain)


def test_a_blank_page_has_no_lines(client: Client) -> None:
    document = client.ocr.recognize(PACK, encoded(Image.new("RGB", (800, 1000), "white"), "PNG"))
    assert [(page.width, page.height, page.lines) for page in document.pages] == [(800, 1000, ())]


def test_two_hundred_pages_are_all_read(client: Client) -> None:
    document = client.ocr.recognize(PACK, pdf(200))
    assert [page.number for page in document.pages] == list(range(1, 201))
    assert document.page_count == 200
    some = client.ocr.recognize(PACK, pdf(200), first_page=199)
    assert [page.number for page in some.pages] == [199, 200]


def test_pages_that_are_not_there_are_refused(client: Client) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.ocr.recognize(PACK, pdf(2), first_page=3)
    assert (raised.value.reason, raised.value.field) == ("PAGE_OUT_OF_RANGE", "first_page")


def test_an_unknown_pack_is_not_found_and_no_neighbour_answers(client: Client) -> None:
    with pytest.raises(NotFound):
        client.ocr.recognize("nobody", PAGE)
    with pytest.raises(NotFound):
        client.ocr.upload("nobody", PAGE)
    with pytest.raises(NotFound):
        list(client.ocr.stream("nobody", [PAGE]))


def test_metadata_of_one_pack_and_a_request_for_another_are_not_found(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = ocr_pb2_grpc.OcrServiceStub(channel)
        request = ocr_pb2.RecognizeDocumentRequest(pack="nobody", document=PAGE.read_bytes())
        with pytest.raises(grpc.RpcError) as raised:
            stub.RecognizeDocument(request, metadata=(("application", PACK),), timeout=30)
    assert isinstance(error_from_call(raised.value), NotFound)


@pytest.fixture(scope="module")
def leaver(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A second Pack, which the last test that uses it deletes."""
    path = tmp_path_factory.mktemp("leaver") / "pack.yaml"
    path.write_text((EXAMPLE / "pack.yaml").read_text().replace(PACK, "leaver"))
    platform.must("apply", "-f", path, "--wait")
    return "leaver"


def test_training_without_examples_ends_with_words(platform: Platform, client: Client, leaver: str) -> None:
    ran = platform("train", leaver, "--wait")
    assert ran.code == 1
    assert "no labelled examples" in ran.out
    (run,) = client.training.runs(leaver)
    assert (run.kind, run.state, run.reason) == (RunKind.TRAIN, RunState.FAILED, "asked by a user")
    assert client.training.start_run(leaver, run_id=run.run_id) == run
    assert list(client.training.watch_run(leaver, run.run_id)) == [run]
    with pytest.raises(NotFound):
        client.training.run(leaver, "none")


def test_a_pack_just_deleted_is_never_answered_by_its_neighbour(
    platform: Platform, client: Client, leaver: str
) -> None:
    assert client.ocr.recognize(leaver, PAGE).pages[0].lines
    assert platform.must("delete", "pack", leaver, "--wait") == f"pack {leaver} deleted\n"
    with pytest.raises(NotFound):
        client.ocr.recognize(leaver, PAGE)
    with pytest.raises(NotFound):
        client.training.versions(leaver)


def test_a_deadline_that_passed_is_said(client: Client) -> None:
    with pytest.raises(DeadlineExceeded):
        client.ocr.recognize(PACK, pdf(200), timeout=0.02)


def test_a_message_over_the_limit_is_refused_and_the_upload_takes_it(address: str, client: Client) -> None:
    page = encoded(Image.new("RGB", (200, 200), "white"), "BMP")
    document = page + bytes(70 << 20)
    with grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel:
        stub = ocr_pb2_grpc.OcrServiceStub(channel)
        request = ocr_pb2.RecognizeDocumentRequest(pack=PACK, document=document)
        with pytest.raises(grpc.RpcError) as raised:
            stub.RecognizeDocument(request, metadata=(("application", PACK),), timeout=60)
    error = error_from_call(raised.value)
    assert isinstance(error, PacklineError)
    assert error.reason == "MESSAGE_TOO_LARGE"
    assert client.ocr.recognize(PACK, document).page_count == 1


async def test_many_bad_documents_at_once_leave_the_good_ones_alone(address: str) -> None:
    async with AsyncClient(address, timeout=120) as client:
        bad = [client.ocr.recognize(PACK, make()) for make, _ in REFUSED.values()]
        good = [client.ocr.recognize(PACK, PAGE) for _ in range(4)]
        answers = await asyncio.gather(*bad, *good, return_exceptions=True)
    assert all(isinstance(answer, InvalidInput) for answer in answers[: len(bad)])
    assert all(not isinstance(answer, BaseException) and answer.pages[0].lines for answer in answers[len(bad) :])
