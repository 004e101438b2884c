"""The servicer over real gRPC, with a real bundle that it fetches, tries and opens by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import grpc
import numpy as np
import pytest
import pytest_asyncio
from packline.ocr.v1 import ocr_pb2, ocr_pb2_grpc
from packline_core.bundle import Bundle
from packline_core.config import load_settings
from packline_core.rpc import error_from_call
from packline_core.serving.config import Limits, Recording, ServingConfig, Version
from packline_ocr.servicer import OcrServicer

from services.ocr.tests.drawing import TEXT, draw_page, encode, pdf_of

PACK = "notes"
Stub = ocr_pb2_grpc.OcrServiceStub


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub(fast_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stub]:
    home = tmp_path_factory.mktemp("home")
    servicer = OcrServicer(PACK, "ocr", load_settings({"PACKLINE_HOME": str(home)}))
    config = ServingConfig(
        PACK,
        "ocr",
        active=Version("v1", fast_bundle.digest, fast_bundle.folder.as_uri()),
        options={"maxPages": 2},
        recording=Recording(enabled=False),
        limits=Limits(threads=2),
    )
    await servicer.reconfigure(config.to_user_config())
    server = grpc.aio.server()
    ocr_pb2_grpc.add_OcrServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Stub(channel)
    await server.stop(None)
    await servicer.drain()


def texts(page: ocr_pb2.Page) -> list[str]:
    return [line.text for line in page.lines]


@pytest.mark.asyncio(loop_scope="module")
async def test_document_is_answered_in_full(stub: Stub) -> None:
    answer = await stub.RecognizeDocument(ocr_pb2.RecognizeDocumentRequest(pack=PACK, document=encode(draw_page())))
    (page,) = answer.pages
    assert texts(page) == list(TEXT)
    assert (page.number, page.width, page.height, answer.page_count) == (1, 600, 300, 1)
    assert answer.model_version == "v1"
    assert len(answer.prediction_id) == 32
    assert [line.order for line in page.lines] == [0, 1, 2]
    assert all(len(line.quad.points) == 4 and 0.8 < line.confidence <= 1 for line in page.lines)
    top_left, top_right, _, bottom_left = page.lines[0].quad.points
    assert top_left.x < top_right.x
    assert top_left.y < bottom_left.y


@pytest.mark.asyncio(loop_scope="module")
async def test_upload_reads_the_pages_that_its_first_message_names(stub: Stub) -> None:
    document = pdf_of([draw_page([f"Page {number}"]) for number in (1, 2, 3)])

    def pieces() -> Iterator[ocr_pb2.UploadDocumentRequest]:
        yield ocr_pb2.UploadDocumentRequest(pack=PACK, first_page=2, last_page=3)
        for start in range(0, len(document), 1000):
            yield ocr_pb2.UploadDocumentRequest(chunk=document[start : start + 1000])

    answer = (await stub.UploadDocument(pieces())).document
    assert [(page.number, texts(page)) for page in answer.pages] == [(2, ["Page 2"]), (3, ["Page 3"])]
    assert answer.page_count == 3


@pytest.mark.asyncio(loop_scope="module")
async def test_stream_answers_in_order_and_survives_a_bad_page(stub: Stub) -> None:
    documents = [encode(draw_page(["First"])), b"no image", encode(draw_page(["Third"]))]

    def pages() -> Iterator[ocr_pb2.RecognizePagesRequest]:
        for number, document in enumerate(documents):
            # Only the first message has to name the Pack.
            pack = "" if number else PACK
            yield ocr_pb2.RecognizePagesRequest(pack=pack, document=document, correlation_id=str(number))

    first, second, third = [answer async for answer in stub.RecognizePages(pages())]
    assert [answer.correlation_id for answer in (first, second, third)] == ["0", "1", "2"]
    assert texts(first.document.pages[0]) == ["First"]
    assert (second.error.code, second.error.reason) == (3, "NOT_AN_IMAGE")
    assert texts(third.document.pages[0]) == ["Third"]


BAD = [
    (PACK, b"", "EMPTY"),
    (PACK, b"no image", "NOT_AN_IMAGE"),
    (PACK, encode(np.zeros((500, 500, 3), np.uint8), "JPEG")[:700], "IMAGE_CORRUPT"),
    (PACK, pdf_of([draw_page()] * 3), "TOO_MANY_PAGES"),
    ("neighbour", encode(draw_page()), "UNKNOWN_PACK"),
]


@pytest.mark.parametrize(("pack", "document", "reason"), BAD, ids=[reason for *_, reason in BAD])
@pytest.mark.asyncio(loop_scope="module")
async def test_bad_input_has_a_status_with_a_reason(pack: str, document: bytes, reason: str, stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.RecognizeDocument(ocr_pb2.RecognizeDocumentRequest(pack=pack, document=document))
    assert error_from_call(caught.value).reason == reason
    expected = grpc.StatusCode.NOT_FOUND if reason == "UNKNOWN_PACK" else grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.code() == expected


@pytest.mark.asyncio(loop_scope="module")
async def test_empty_upload(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.UploadDocument(iter(()))
    assert error_from_call(caught.value).reason == "EMPTY"
