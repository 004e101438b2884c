"""The echo task."""
