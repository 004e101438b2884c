"""Reading documents: the answer's types and the calls of `client.ocr`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from packline.ocr.v1 import ocr_pb2
from packline_core.errors import PacklineError
from packline_core.status import error_of

from packline_client.call import AsyncService, Call, Service, streaming, unary
from packline_client.files import checked_file, pieces, read_bytes

_RPC = ocr_pb2.DESCRIPTOR.services_by_name["OcrService"].methods_by_name
# Files above this go up in pieces; well below every message limit on the way.
LARGE = 8 << 20

Document_ = bytes | str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text.

    Attributes:
        text: What it says.
        confidence: 0 to 1.
        points: Its corners (x, y) in pixels: top left, top right, bottom right, bottom left of the text.
        order: Place in the reading order of its page, from 0.
    """

    text: str
    confidence: float
    points: tuple[tuple[float, float], ...]
    order: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number from 1, its upright size in pixels, its lines in reading order."""

    number: int
    width: int
    height: int
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The page's text, a line a line."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    Attributes:
        prediction_id: Names this answer; give it to `monitoring.correct`.
        model_version: The version that read it, such as `v3`.
        pages: The pages read.
        page_count: Pages that the file holds, read or not.
    """

    prediction_id: str
    model_version: str
    pages: tuple[Page, ...]
    page_count: int

    @property
    def text(self) -> str:
        """The text of all pages, pages apart by a form feed."""
        return "\f".join(page.text for page in self.pages)


@dataclass(frozen=True, slots=True)
class StreamedPage:
    """The answer to one document of a stream: either `document` or `error` is there.

    Attributes:
        index: Which of the documents that were sent, from 0.
    """

    index: int
    document: Document | None
    error: PacklineError | None


class _Calls:
    @unary
    def recognize(
        self,
        pack: str,
        document: Document_,
        *,
        first_page: int = 0,
        last_page: int = 0,
        request_key: str = "",
        timeout: float | None = None,
    ) -> Call[Document]:
        """Reads an image or PDF. Large files go up in pieces by themselves.

        Args:
            pack: The Pack that is to answer.
            document: Bytes of a JPEG, PNG, TIFF, BMP, WebP or PDF file, or its path.
            first_page: First page to read, from 1; 0 means from the first.
            last_page: Last page to read; 0 means up to the last.
            request_key: All calls with one key stay on one version during a canary.
            timeout: Seconds; the client's where left out.

        Raises:
            PacklineError: Of the class that says what went wrong.
        """
        source = _source(document)
        size = len(source) if isinstance(source, bytes) else checked_file(source).stat().st_size
        if size > LARGE:
            head = ocr_pb2.UploadDocumentRequest(pack=pack, first_page=first_page, last_page=last_page)
            return _upload(head, source, timeout, request_key)
        request = ocr_pb2.RecognizeDocumentRequest(
            pack=pack, document=read_bytes(source), first_page=first_page, last_page=last_page
        )
        return Call(_RPC["RecognizeDocument"], pack, request, parse_document, timeout, request_key)

    @unary
    def upload(
        self,
        pack: str,
        document: Document_,
        *,
        first_page: int = 0,
        last_page: int = 0,
        request_key: str = "",
        timeout: float | None = None,
    ) -> Call[Document]:
        """Reads a document as `recognize` does, sent in pieces whatever its size."""
        head = ocr_pb2.UploadDocumentRequest(pack=pack, first_page=first_page, last_page=last_page)
        return _upload(head, _source(document), timeout, request_key)

    @streaming
    def stream(
        self,
        pack: str,
        documents: Iterable[Document_] | AsyncIterable[Document_],
        *,
        request_key: str = "",
        timeout: float | None = None,
    ) -> Call[StreamedPage]:
        """Sends document after document and gives their answers, in order, while it goes on.

        A document that cannot be read is answered with its error, and the stream goes on.

        Args:
            pack: The Pack that is to answer.
            documents: Images or PDFs; taken from the iterator as the Pack keeps up.
            request_key: All calls with one key stay on one version during a canary.
            timeout: Seconds for the whole stream; the client's where left out.
        """
        requests = (
            _page_requests_async(pack, documents)
            if isinstance(documents, AsyncIterable)
            else _page_requests(pack, documents)
        )
        return Call(_RPC["RecognizePages"], pack, requests, _streamed_page, timeout, request_key)


class Ocr(_Calls, Service):
    """`client.ocr`."""


class AsyncOcr(_Calls, AsyncService):
    """`async_client.ocr`."""


def parse_document(message: Any) -> Document:
    """A `RecognizeDocumentResponse`; written out, since a page has hundreds of lines."""
    return Document(
        prediction_id=message.prediction_id,
        model_version=message.model_version,
        pages=tuple(
            Page(
                number=page.number,
                width=page.width,
                height=page.height,
                lines=tuple(
                    Line(line.text, line.confidence, tuple((p.x, p.y) for p in line.quad.points), line.order)
                    for line in page.lines
                ),
            )
            for page in message.pages
        ),
        page_count=message.page_count,
    )


def _source(document: Document_) -> bytes | Path:
    return document if isinstance(document, bytes) else Path(document)


def _upload(
    head: ocr_pb2.UploadDocumentRequest, source: bytes | Path, timeout: float | None, request_key: str
) -> Call[Document]:
    """A document in pieces, after the message that says what to do with it."""
    if isinstance(source, Path):
        checked_file(source)

    def requests() -> Iterator[ocr_pb2.UploadDocumentRequest]:
        yield head
        for chunk in pieces(source):
            yield ocr_pb2.UploadDocumentRequest(chunk=chunk)

    method = _RPC["UploadDocument"]
    return Call(method, head.pack, requests(), lambda m: parse_document(m.document), timeout, request_key)


def _page_request(pack: str, index: int, document: Document_) -> ocr_pb2.RecognizePagesRequest:
    return ocr_pb2.RecognizePagesRequest(pack=pack, document=read_bytes(_source(document)), correlation_id=str(index))


def _page_requests(pack: str, documents: Iterable[Document_]) -> Iterator[ocr_pb2.RecognizePagesRequest]:
    for index, document in enumerate(documents):
        yield _page_request(pack, index, document)


async def _page_requests_async(
    pack: str, documents: AsyncIterable[Document_]
) -> AsyncIterator[ocr_pb2.RecognizePagesRequest]:
    index = 0
    async for document in documents:
        yield _page_request(pack, index, document)
        index += 1


def _streamed_page(message: Any) -> StreamedPage:
    if message.WhichOneof("result") == "error":
        error = error_of(message.error.code, message.error.message, message.error.reason)
        return StreamedPage(int(message.correlation_id), None, error)
    return StreamedPage(int(message.correlation_id), parse_document(message.document), None)
