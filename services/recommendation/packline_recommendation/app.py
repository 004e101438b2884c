"""The Ray Serve application of a recommendation Pack."""

from __future__ import annotations

from collections.abc import Mapping

from packline_core.fleet.schema import DEPLOYMENT
from ray import serve

from packline_recommendation.servicer import RecommendationServicer

RecommendationReplica = serve.deployment(name=DEPLOYMENT)(RecommendationServicer)


def build(args: Mapping[str, str]) -> serve.Application:
    """Binds the application of `args["pack"]`."""
    return RecommendationReplica.bind(args["pack"], args["task"])
