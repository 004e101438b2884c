"""OcrService: protobuf to domain and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from packline.ocr.v1 import ocr_pb2
from packline_core.errors import InvalidInput, PacklineError
from packline_core.rpc import Call, rpc
from packline_core.serving.replica import Prediction, Replica

from packline_ocr.config import OcrSpec
from packline_ocr.domain import Line, Page, answer_json

_MAX_UPLOAD = 512 << 20  # bytes of one uploaded document, which is held in memory


class OcrServicer(Replica):
    """The replica of an OCR Pack."""

    @rpc
    async def RecognizeDocument(
        self, request: ocr_pb2.RecognizeDocumentRequest, call: Call
    ) -> ocr_pb2.RecognizeDocumentResponse:
        """Reads every page of one image or PDF."""
        return await self._recognize(call, request.pack, request.document, request.first_page, request.last_page)

    @rpc
    async def UploadDocument(
        self, request: AsyncIterator[ocr_pb2.UploadDocumentRequest], call: Call
    ) -> ocr_pb2.UploadDocumentResponse:
        """Reads a document that comes in pieces."""
        head: ocr_pb2.UploadDocumentRequest | None = None
        document = bytearray()
        async for piece in request:
            head = head or piece
            document += piece.chunk
            if len(document) > _MAX_UPLOAD:
                raise InvalidInput(
                    f"the document is larger than {_MAX_UPLOAD >> 20} MiB; send it in parts",
                    reason="DOCUMENT_TOO_LARGE",
                    field="chunk",
                )
        if head is None:
            raise InvalidInput("the upload has no message", reason="EMPTY", field="chunk")
        answer = await self._recognize(call, head.pack, bytes(document), head.first_page, head.last_page)
        return ocr_pb2.UploadDocumentResponse(document=answer)

    @rpc
    async def RecognizePages(
        self, request: AsyncIterator[ocr_pb2.RecognizePagesRequest], call: Call
    ) -> AsyncIterator[ocr_pb2.RecognizePagesResponse]:
        """Answers each document of a stream in turn; one that cannot be read does not end the stream."""
        pack = ""
        async for item in request:
            pack = item.pack or pack
            response = ocr_pb2.RecognizePagesResponse(correlation_id=item.correlation_id)
            try:
                response.document.CopyFrom(await self._recognize(call, pack, item.document))
            except InvalidInput as error:
                response.error.CopyFrom(_page_error(error))
            yield response

    def answer_json(self, results: Sequence[Page]) -> str:
        """The answer in the task's JSON."""
        return answer_json(results)

    async def _recognize(
        self, call: Call, pack: str, document: bytes, first_page: int = 0, last_page: int = 0
    ) -> ocr_pb2.RecognizeDocumentResponse:
        limits = OcrSpec.model_validate(self.options).limits()
        prediction = await self.predict(
            call,
            pack=pack,
            payload=document,
            record=document,
            first_page=first_page,
            last_page=last_page,
            limits=limits,
        )
        return to_response(prediction)


def to_response(prediction: Prediction) -> ocr_pb2.RecognizeDocumentResponse:
    """An answer as a message."""
    pages: Sequence[Page] = prediction.results
    return ocr_pb2.RecognizeDocumentResponse(
        prediction_id=prediction.prediction_id,
        model_version=prediction.model_version,
        pages=[_page(page) for page in pages],
        page_count=pages[0].page_count if pages else 0,
    )


def _page(page: Page) -> ocr_pb2.Page:
    return ocr_pb2.Page(
        number=page.number, width=page.width, height=page.height, lines=[_line(line) for line in page.lines]
    )


def _line(line: Line) -> ocr_pb2.Line:
    points = [ocr_pb2.Point(x=x, y=y) for x, y in line.points.tolist()]
    return ocr_pb2.Line(text=line.text, confidence=line.confidence, quad=ocr_pb2.Quad(points=points), order=line.order)


def _page_error(error: PacklineError) -> ocr_pb2.PageError:
    return ocr_pb2.PageError(code=int(error.code), reason=error.reason, message=error.message)
