from packline_core.db import run_migrations
from packline_recommendation.state_tables import metadata

run_migrations(metadata)
