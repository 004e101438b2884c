"""OCR's own part of a manifest: `spec.ocr`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packline_core.manifest import Part
from pydantic import Field

if TYPE_CHECKING:
    from packline_ocr.pages import Limits


class OcrSpec(Part):
    """What documents a Pack takes."""

    max_pages: int = Field(1000, ge=1, le=10_000, description="Pages read in one call.")
    pdf_dpi: int = Field(200, ge=72, le=600, description="Resolution at which PDF pages are drawn.")

    def limits(self) -> Limits:
        """As the engine takes them."""
        from packline_ocr.pages import Limits

        return Limits(max_pages=self.max_pages, pdf_dpi=self.pdf_dpi)
