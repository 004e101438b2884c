"""Recommendation's own part of a manifest: `spec.recommendation`."""

from __future__ import annotations

from packline_core.manifest import Part
from pydantic import Field


class RecommendationSpec(Part):
    """How a Pack recommends."""

    repeats: bool | None = Field(
        None, description="Whether what a user has already may come back; learned from the data where left out."
    )
