"""The Python SDK of Packline, and the packline command.

    from packline_client import Client

    with Client("127.0.0.1:9000") as client:
        document = client.ocr.recognize("invoices", "scan.pdf")
        print(document.text)

`AsyncClient` has the same calls for asyncio. Errors are the `PacklineError`s of `packline_core.errors`; every call has
a deadline.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packline_client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]


def __getattr__(name: str) -> Any:
    """Loads the clients when they are first asked for: gRPC is slow to import, and `packline --help` needs none."""
    if name in __all__:
        from packline_client import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
