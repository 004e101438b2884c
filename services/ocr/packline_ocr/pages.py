"""Bytes of an image or PDF in, upright 8-bit BGR pages out, decoded one at a time as they are asked for.

Nothing is decoded before its header's size was checked, and nothing is kept open between pages, so a file of hundreds
of pages costs the memory of its bytes and one page.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import pypdfium2 as pdfium
from numpy.typing import NDArray
from packline_core.errors import InvalidInput
from PIL import Image as Pil
from PIL import ImageOps, UnidentifiedImageError

from packline_ocr.domain import Image

_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
_PDF_HEADER = 1024  # bytes among which a reader looks for the PDF mark (PDF 1.7, annex H)
_POINTS_PER_INCH = 72
_PDFIUM = threading.Lock()  # pdfium may be called by one thread at a time
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Limits:
    """What documents are taken.

    Attributes:
        max_pixels: Of one page of an image.
        max_side: Likewise; OpenCV addresses pixels with 16 bits.
        max_pages: Of one call.
        pdf_dpi: Resolution at which PDF pages are drawn.
        pdf_max_side: Pixels of the long side that a PDF page is drawn with at most.
    """

    max_pixels: int = 80_000_000
    max_side: int = 32_000
    max_pages: int = 1000
    pdf_dpi: int = 200
    pdf_max_side: int = 4000


@dataclass(frozen=True, slots=True, eq=False)
class PageSource:
    """One page that is not decoded yet.

    Attributes:
        payload: The file.
        number: Of the page, counted from 1.
        page_count: Pages that the file holds.
        limits: What is taken.
    """

    payload: bytes
    number: int
    page_count: int
    limits: Limits

    def decode(self) -> Image:
        """The page's pixels; raises `InvalidInput` where they are truncated or corrupt."""
        decode = _pdf_page if is_pdf(self.payload) else _image_page
        return decode(self.payload, self.number, self.limits)


def open_pages(payload: bytes, limits: Limits, first_page: int = 0, last_page: int = 0) -> list[PageSource]:
    """Opens a JPEG, PNG, TIFF, BMP, WebP or PDF file, without decoding a page.

    Args:
        payload: The file.
        limits: What is taken.
        first_page: First page to read, counted from 1; 0 means from the first.
        last_page: Last page to read; 0 means up to the last.

    Raises:
        InvalidInput: Reason EMPTY, NOT_AN_IMAGE, IMAGE_TOO_LARGE, IMAGE_CORRUPT, PDF_ENCRYPTED, PDF_CORRUPT,
            PAGE_OUT_OF_RANGE or TOO_MANY_PAGES.
    """
    if not payload:
        raise _invalid("EMPTY", "the document is empty: it has no bytes")
    count = _pdf_count(payload) if is_pdf(payload) else _image_count(payload, limits)
    first, last = first_page or 1, last_page or count
    if not 1 <= first <= last <= count:
        raise InvalidInput(
            f"pages {first} to {last} were asked for; the document has {count}",
            reason="PAGE_OUT_OF_RANGE",
            field="first_page" if first_page else "last_page",
            page_count=str(count),
        )
    if last - first + 1 > limits.max_pages:
        raise _invalid(
            "TOO_MANY_PAGES",
            f"the document has {last - first + 1} pages to read; {limits.max_pages} are taken in one call: ask for a"
            " range of pages",
        )
    return [PageSource(payload, number, count, limits) for number in range(first, last + 1)]


def is_pdf(payload: bytes) -> bool:
    """Whether a file says that it is a PDF."""
    return b"%PDF-" in payload[:_PDF_HEADER]


def _invalid(reason: str, message: str) -> InvalidInput:
    return InvalidInput(message, reason=reason, field="document")


# Images


@contextmanager
def _opened(payload: bytes, limits: Limits) -> Iterator[Pil.Image]:
    """Opens an image's header; whatever Pillow stumbles over inside leaves as `InvalidInput`."""
    try:
        with Pil.open(io.BytesIO(payload), formats=_FORMATS) as image:
            _check_size(image, limits)
            yield image
    except UnidentifiedImageError:
        raise _invalid(
            "NOT_AN_IMAGE", "the document is neither a JPEG, PNG, TIFF, BMP or WebP image nor a PDF"
        ) from None
    except (Pil.DecompressionBombError, Pil.DecompressionBombWarning):
        raise _too_large("more", limits) from None
    except _BROKEN as error:
        raise _invalid("IMAGE_CORRUPT", f"the image is truncated or corrupt: {error}") from error


def _check_size(image: Pil.Image, limits: Limits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels or max(width, height) > limits.max_side:
        raise _too_large(f"{width} x {height} pixels", limits)


def _too_large(size: str, limits: Limits) -> InvalidInput:
    return _invalid(
        "IMAGE_TOO_LARGE",
        f"the image has {size}; up to {limits.max_pixels} pixels and {limits.max_side} on a side are taken: scan it at"
        " a lower resolution",
    )


def _image_count(payload: bytes, limits: Limits) -> int:
    with _opened(payload, limits) as image:
        # Frames of other formats are previews and animations of the first.
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def _image_page(payload: bytes, number: int, limits: Limits) -> Image:
    with _opened(payload, limits) as image:
        if number > 1:
            image.seek(number - 1)
            _check_size(image, limits)
        return _bgr(ImageOps.exif_transpose(image))


def _bgr(image: Pil.Image) -> Image:
    """Any mode of Pillow as 8-bit BGR; what is transparent becomes white paper."""
    if image.mode.startswith("I;16"):
        return _from_grey(np.asarray(image).astype(np.float32) * np.float32(1 / 257))
    if image.mode in ("I", "F"):
        values = np.asarray(image, np.float32)
        peak = float(values.max(initial=0))
        # No header says what stands for white: take the smallest depth that holds the brightest pixel.
        white = 255.0 if peak <= 255 else 65535.0 if peak <= 65535 else peak
        return _from_grey(values * np.float32(255 / white))
    if image.mode in ("L", "1"):
        return np.asarray(cv2.cvtColor(np.asarray(image.convert("L")), cv2.COLOR_GRAY2BGR), np.uint8)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        paper = Pil.new("RGBA", rgba.size, "white")
        image = Pil.alpha_composite(paper, rgba)
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), np.uint8)


def _from_grey(values: NDArray[np.float32]) -> Image:
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


# PDF


@contextmanager
def _opened_pdf(payload: bytes) -> Iterator[pdfium.PdfDocument]:
    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(payload)
        except pdfium.PdfiumError as error:
            if "password" in str(error).lower():
                raise _invalid("PDF_ENCRYPTED", "the PDF is encrypted; send it without its password") from None
            raise _invalid("PDF_CORRUPT", f"the PDF cannot be opened: {error}") from error
        try:
            yield document
        except pdfium.PdfiumError as error:
            raise _invalid("PDF_CORRUPT", f"a page of the PDF cannot be drawn: {error}") from error
        finally:
            document.close()


def _pdf_count(payload: bytes) -> int:
    with _opened_pdf(payload) as document:
        count = len(document)
    if not count:
        raise _invalid("PDF_CORRUPT", "the PDF has no pages")
    return count


def _pdf_page(payload: bytes, number: int, limits: Limits) -> Image:
    with _opened_pdf(payload) as document:
        document.init_forms()  # so that what was typed into a form is drawn too
        page = document[number - 1]
        long_side = max(page.get_size())
        if not long_side > 0:
            raise _invalid("PDF_CORRUPT", f"page {number} of the PDF has no size")
        scale = min(limits.pdf_dpi / _POINTS_PER_INCH, limits.pdf_max_side / long_side)
        bitmap = page.render(scale=scale, rev_byteorder=False)
        pixels = np.array(bitmap.to_numpy())  # a copy: the bitmap's memory goes with the document
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])
