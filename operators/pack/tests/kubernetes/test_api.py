"""How the client bears an API server that is busy, away, or of another mind: a real HTTP server plays it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kubernetes
import pytest
from packline_core.errors import Conflict, FailedPrecondition, InvalidInput, NotFound, PacklineError, Unavailable
from packline_operator.kubernetes.api import Api, NamespaceEnds

Answer = tuple[int, Mapping[str, str], Any]


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    """Gives these answers, the last one over and over; its URL and what it was asked."""
    asked: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
            status, headers, told = answers[min(len(asked), len(answers) - 1)]
            asked.append((self.command, self.path, body))
            content = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_POST = do_PUT = answer  # noqa: N815 - as the base class looks them up

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}", asked
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def api_at(url: str, slept: list[float], guard: Callable[[], None] = lambda: None) -> Api:
    configuration = kubernetes.client.Configuration(host=url)
    return Api(kubernetes.client.ApiClient(configuration), guard, slept.append)


def test_who_is_told_to_wait_waits_as_long_as_asked() -> None:
    slept: list[float] = []
    busy = (429, {"Retry-After": "3"}, {"message": "too many requests"})
    with server(busy, busy, (200, {}, {"done": True})) as (url, asked):
        assert api_at(url, slept).apply("/x", {"a": 1}) == {"done": True}
    assert slept == [3.0, 3.0]
    assert asked == [("PATCH", "/x?fieldManager=packline-operator&force=true", {"a": 1})] * 3


def test_a_server_that_fails_is_asked_ever_more_rarely_and_then_given_up() -> None:
    slept: list[float] = []
    with server((503, {}, b"starting")) as (url, asked), pytest.raises(Unavailable, match="GET /x: starting"):
        api_at(url, slept).get("/x")
    assert len(asked) == 4
    assert slept == sorted(slept) and len(slept) == 3 and sum(slept) < 5


def test_a_server_that_is_away_is_unavailable() -> None:
    slept: list[float] = []
    with server((200, {}, {})) as (url, _):
        pass
    with pytest.raises(Unavailable, match="does not answer"):
        api_at(url, slept).get("/x")
    assert len(slept) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (409, Conflict), (422, InvalidInput), (403, FailedPrecondition), (418, PacklineError)],
)
def test_a_refusal_is_not_repeated(status: int, kind: type[PacklineError]) -> None:
    refusal = (status, {}, {"message": "no", "reason": "Word"})
    with server(refusal) as (url, asked), pytest.raises(kind, match="POST /x: no") as caught:
        api_at(url, []).create("/x", {})
    assert len(asked) == 1 and caught.value.reason == "API_Word"


def test_the_end_of_a_namespace_is_told_from_a_lack_of_rights() -> None:
    details = {"causes": [{"reason": "NamespaceTerminating"}]}
    with server((403, {}, {"message": "no", "details": details})) as (url, _), pytest.raises(NamespaceEnds):
        api_at(url, []).create("/x", {})


def test_who_lost_the_lease_writes_no_more_not_even_again() -> None:
    lost: list[bool] = []

    def guard() -> None:
        if lost:
            raise Unavailable("the lease is lost")
        lost.append(True)

    with server((503, {}, {})) as (url, asked):
        with pytest.raises(Unavailable, match="the lease is lost"):
            api_at(url, [], guard).merge("/x", {})
        assert len(asked) == 1
        with pytest.raises(Unavailable, match="503"):
            api_at(url, [], guard).get("/x")


def test_long_lists_come_page_by_page() -> None:
    def page(name: str, more: str) -> Answer:
        return 200, {}, {"items": [name], "metadata": {"continue": more, "resourceVersion": "7"}}

    with server(page("a", "there"), page("b", "")) as (url, asked):
        assert api_at(url, []).list("/x") == (["a", "b"], "7")
    assert [path for _, path, _ in asked] == ["/x?limit=500", "/x?limit=500&continue=there"]
