"""Fixtures that tests of every room may use."""

pytest_plugins = ["tests.backends.fixtures"]
