"""The Ray Serve application of an OCR Pack."""

from __future__ import annotations

from collections.abc import Mapping

from packline_core.fleet.schema import DEPLOYMENT
from ray import serve

from packline_ocr.servicer import OcrServicer

OcrReplica = serve.deployment(name=DEPLOYMENT)(OcrServicer)


def build(args: Mapping[str, str]) -> serve.Application:
    """Binds the application of `args["pack"]`."""
    return OcrReplica.bind(args["pack"], args["task"])
