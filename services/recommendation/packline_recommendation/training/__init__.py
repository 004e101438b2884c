"""Training of recommenders and their export. Imports torch; serving never imports this package."""

from packline_recommendation.training.export import export
from packline_recommendation.training.trial import search_space, train

__all__ = ["export", "search_space", "train"]
