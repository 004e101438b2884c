"""The Python SDK and the packline command."""
