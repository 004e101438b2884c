"""Training the recogniser on corrected pages. Imports torch; serving never imports this package."""

from packline_ocr.training.export import export
from packline_ocr.training.trial import search_space, train

__all__ = ["export", "search_space", "train"]
