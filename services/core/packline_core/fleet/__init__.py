"""The fleet: a Ray with Serve, its one declarative configuration, and the REST API that takes it."""
