from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pypdfium2 as pdfium
import pytest
from packline_core.errors import InvalidInput
from packline_ocr.pages import Limits, open_pages
from PIL import Image as Pil

from services.ocr.tests.drawing import draw_page, encode, pdf_of

LIMITS = Limits()


def decode(payload: bytes) -> np.ndarray:
    (page,) = open_pages(payload, LIMITS)
    return page.decode()


def refused(payload: bytes, limits: Limits = LIMITS) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        for page in open_pages(payload, limits):
            page.decode()
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_lossless_formats_give_the_pixels_in_bgr(kind: str) -> None:
    page = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (decode(encode(page, kind, **options)) == page).all()


def test_jpeg_gives_bgr() -> None:
    blue = np.zeros((32, 32, 3), np.uint8)
    blue[:, :, 0] = 250
    assert abs(decode(encode(blue, "JPEG")).astype(int) - blue).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_stands_the_page_upright(orientation: int) -> None:
    upright = Pil.fromarray(draw_page()[:, :, ::-1])
    undo = {
        2: Pil.Transpose.FLIP_LEFT_RIGHT,
        3: Pil.Transpose.ROTATE_180,
        4: Pil.Transpose.FLIP_TOP_BOTTOM,
        5: Pil.Transpose.TRANSPOSE,
        6: Pil.Transpose.ROTATE_90,
        7: Pil.Transpose.TRANSVERSE,
        8: Pil.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Pil.Exif()
    exif[0x0112] = orientation
    stream = BytesIO()
    stored.save(stream, "JPEG", quality=95, exif=exif)
    got = decode(stream.getvalue())
    assert got.shape == draw_page().shape
    assert np.abs(got.astype(int) - draw_page()).mean() < 2


def test_16_bit_grey_keeps_its_tones() -> None:
    grey = np.array([[0, 0x8080, 0xFFFF]], np.uint16).repeat(4, axis=0)
    stream = BytesIO()
    Pil.fromarray(grey).save(stream, "PNG")
    assert decode(stream.getvalue())[0, :, 0].tolist() == [0, 128, 255]


def test_32_bit_grey_is_brought_to_8() -> None:
    values = np.array([[0, 30_000, 60_000]], np.int32)
    stream = BytesIO()
    Pil.fromarray(values).save(stream, "TIFF")
    assert decode(stream.getvalue())[0, :, 2].tolist() == [0, 117, 233]


def test_cmyk_becomes_bgr() -> None:
    stream = BytesIO()
    Pil.new("CMYK", (16, 16), (0, 255, 255, 0)).save(stream, "JPEG")  # red
    blue, green, red = decode(stream.getvalue())[8, 8].astype(int)
    assert red > 180 > 60 > max(blue, green)


def test_transparency_becomes_white_paper() -> None:
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:4, :, 3] = 255  # the upper half is black ink, the lower is nothing
    stream = BytesIO()
    Pil.fromarray(picture, "RGBA").save(stream, "PNG")
    got = decode(stream.getvalue())
    assert (got[:4] == 0).all()
    assert (got[4:] == 255).all()


def test_palette_with_transparency() -> None:
    picture = Pil.new("P", (4, 4), 1)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    stream = BytesIO()
    picture.save(stream, "PNG", transparency=0)
    got = decode(stream.getvalue())
    assert got[0, 0].tolist() == [255, 255, 255]
    assert got[3, 3].tolist() == [50, 100, 200]


def test_one_bit_scan() -> None:
    stream = BytesIO()
    Pil.fromarray(draw_page()).convert("1").save(stream, "TIFF", compression="group4")
    assert set(np.unique(decode(stream.getvalue()))) == {0, 255}


def test_tiff_of_several_pages() -> None:
    first, second = Pil.new("RGB", (10, 20), "red"), Pil.new("L", (30, 40), 7)
    stream = BytesIO()
    first.save(stream, "TIFF", save_all=True, append_images=[second])
    pages = open_pages(stream.getvalue(), LIMITS)
    assert [(page.number, page.page_count) for page in pages] == [(1, 2), (2, 2)]
    assert pages[1].decode().shape == (40, 30, 3)
    assert pages[0].decode()[0, 0].tolist() == [0, 0, 255]


def test_pdf_is_drawn_at_the_resolution_asked_for() -> None:
    payload = pdf_of([draw_page()] * 3)
    height, width = draw_page().shape[:2]
    pages = open_pages(payload, Limits(pdf_dpi=72), 2, 3)
    assert [page.number for page in pages] == [2, 3]
    assert pages[0].decode().shape == (height // 2, width // 2, 3)


def test_poster_in_a_pdf_is_bounded() -> None:
    document = pdfium.PdfDocument.new()
    document.new_page(14_400, 7_200)
    stream = BytesIO()
    document.save(stream)
    assert decode(stream.getvalue()).shape == (2000, 4000, 3)


def test_200_pages_one_at_a_time() -> None:
    document = pdfium.PdfDocument.new()
    for number in range(200):
        document.new_page(100 + number, 100)
    stream = BytesIO()
    document.save(stream)
    pages = open_pages(stream.getvalue(), Limits(pdf_dpi=72))
    assert len(pages) == 200
    assert [page.decode().shape[1] for page in pages[::50]] == [100, 150, 200, 250]


def test_pages_beyond_the_limit_are_refused_and_a_range_is_taken() -> None:
    payload = pdf_of([draw_page()] * 4)
    error = refused(payload, Limits(max_pages=3))
    assert error.reason == "TOO_MANY_PAGES"
    assert len(open_pages(payload, Limits(max_pages=3), 2, 4)) == 3


@pytest.mark.parametrize(("first", "last"), [(5, 0), (0, 5), (3, 2)])
def test_page_out_of_range(first: int, last: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        open_pages(pdf_of([draw_page()] * 4), LIMITS, first, last)
    assert caught.value.reason == "PAGE_OUT_OF_RANGE"
    assert caught.value.metadata == {"page_count": "4"}


def test_empty() -> None:
    assert refused(b"").reason == "EMPTY"


@pytest.mark.parametrize("payload", [b"hello", b"\x00" * 100, b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"])
def test_not_an_image(payload: bytes) -> None:
    error = refused(payload)
    assert error.reason == "NOT_AN_IMAGE"
    assert error.field == "document"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_jpeg(share: float) -> None:
    whole = encode(draw_page(), "JPEG", quality=95)
    assert refused(whole[: int(len(whole) * share)]).reason in {"IMAGE_CORRUPT", "NOT_AN_IMAGE"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
def test_truncated_files_of_other_kinds(kind: str) -> None:
    whole = encode(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), kind)
    assert refused(whole[: len(whole) // 2]).reason == "IMAGE_CORRUPT"


@pytest.mark.parametrize("size", [(9_000, 9_000), (10_000, 10_000), (30_000, 30_000), (40_000, 10)])
def test_decompression_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    error = refused(_bomb(*size))
    assert error.reason == "IMAGE_TOO_LARGE"
    assert "pixels" in error.message


def test_encrypted_pdf() -> None:
    assert refused(ENCRYPTED_PDF).reason == "PDF_ENCRYPTED"


@pytest.mark.parametrize("payload", [b"%PDF-1.7\n", b"%PDF-1.4\n" + b"\x00" * 500])
def test_corrupt_pdf(payload: bytes) -> None:
    assert refused(payload).reason == "PDF_CORRUPT"


def _bomb(width: int, height: int) -> bytes:
    """A small PNG of very many white pixels, one bit each."""
    pack = zlib.compressobj(9)
    row = b"\x00" + b"\xff" * ((width + 7) // 8)
    data = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _encrypted_pdf() -> bytes:
    """An empty page under RC4 with a user password that nobody knows (PDF 1.7, 7.6)."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>",
        b"<</Filter/Standard/V 1/R 2/P -4/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = b"trailer\n<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<00><00>]>>\nstartxref\n%d\n%%%%EOF" % len(body)
    return body + b"xref\n0 5\n0000000000 65535 f \n" + table + trailer


ENCRYPTED_PDF = _encrypted_pdf()
