"""`python -m packline_client` is the `packline` command."""

from packline_client.cli import app

app(prog_name="packline")
