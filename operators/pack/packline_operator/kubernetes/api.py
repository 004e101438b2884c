"""Kubernetes' API as this operator uses it: JSON in and out, server-side apply, retries, and core's own errors.

The `kubernetes` client gives address, certificates and tokens that renew themselves; its generated methods do not let
server-side apply through as JSON, so requests go through its connection pool directly.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

import kubernetes
import urllib3
from packline_core.errors import Conflict, FailedPrecondition, InvalidInput, NotFound, PacklineError, Unavailable

from packline_operator.kubernetes import metrics

MANAGER = "packline-operator"
Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_TIMEOUT = urllib3.Timeout(connect=5, read=30)
_TRIES = 4
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0
_PAGE = 500
_PASSING = frozenset({429, 500, 502, 503, 504})
_BY_STATUS: Mapping[int, type[PacklineError]] = {
    400: InvalidInput,
    401: FailedPrecondition,
    403: FailedPrecondition,
    404: NotFound,
    409: Conflict,
    413: InvalidInput,
    415: InvalidInput,
    422: InvalidInput,
}
_log = logging.getLogger(__name__)


class NamespaceEnds(FailedPrecondition):
    """The namespace is being deleted: nothing new is made in it."""


class Api:
    """A client.

    Args:
        client: Configured; its connection pool may be shared.
        guard: Called before each write; raises `PacklineError` where nothing may be written any more.
        sleep: Waits between tries.
    """

    def __init__(
        self,
        client: kubernetes.client.ApiClient,
        guard: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._guard = guard
        self._sleep = sleep

    def get(self, path: str) -> Object:
        """One object. Raises `NotFound`, `Unavailable`."""
        return self._call("GET", path)

    def list(self, path: str) -> tuple[list[Object], str]:
        """All objects of a kind, page by page, and the resource version that they stood at."""
        items: list[Object] = []
        query: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            page = self._call("GET", path, query)
            items += page["items"]
            more = page["metadata"].get("continue")
            if not more:
                return items, str(page["metadata"]["resourceVersion"])
            query["continue"] = more

    def create(self, path: str, body: Mapping[str, Any], **query: str) -> Object:
        """Makes an object. Raises `Conflict` where it exists, `NamespaceEnds` where nothing can be made any more."""
        return self._write("POST", path, body, "application/json", **query)

    def replace(self, path: str, body: Mapping[str, Any]) -> Object:
        """Writes an object whole. Raises `Conflict` where somebody else wrote in between."""
        return self._write("PUT", path, body, "application/json")

    def merge(self, path: str, body: Mapping[str, Any]) -> Object:
        """Changes some fields. Raises `Conflict` where `body` names a resource version that has passed."""
        return self._write("PATCH", path, body, MERGE)

    def apply(self, path: str, body: Mapping[str, Any]) -> Object:
        """Server-side apply: these fields are this operator's, and those it no longer names go."""
        return self._write("PATCH", path, body, APPLY, force="true")

    def _write(self, method: str, path: str, body: Mapping[str, Any], kind: str, **query: str) -> Object:
        return self._call(method, path, {"fieldManager": MANAGER, **query}, body, kind)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        kind: str = "application/json",
    ) -> Object:
        for pause in _pauses():
            if method != "GET":
                self._guard()
            asked = 0.0
            try:
                status, headers, answer = self._once(method, path, query or {}, body, kind)
            except urllib3.exceptions.HTTPError as error:
                metrics.API_ERRORS.labels(method, "none").inc()
                trouble: PacklineError = Unavailable(
                    f"Kubernetes' API does not answer: {error}", reason="API_UNREACHABLE"
                )
            else:
                if status < 300:
                    return answer
                metrics.API_ERRORS.labels(method, str(status)).inc()
                words = f"{method} {path}: {answer.get('message') or status}"
                causes = (answer.get("details") or {}).get("causes") or []
                if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                    raise NamespaceEnds(words, reason="NAMESPACE_ENDS")
                if status not in _PASSING:
                    raise _BY_STATUS.get(status, PacklineError)(words, reason=f"API_{answer.get('reason') or status}")
                trouble = Unavailable(words, reason=f"API_{status}")
                asked = min(_LONGEST_WAIT, _seconds(headers.get("Retry-After")))
            if pause is None:
                raise trouble
            _log.info("%s; tried again in %.1f s", trouble.message, max(pause, asked))
            self._sleep(max(pause, asked))
        raise AssertionError("the last try returns or raises")

    def _once(
        self, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None, kind: str
    ) -> tuple[int, Mapping[str, str], Object]:
        headers = {"Accept": "application/json", "Content-Type": kind, "User-Agent": MANAGER}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        response = self._client.rest_client.pool_manager.request(
            method,
            self._client.configuration.host + path + (f"?{urlencode(query)}" if query else ""),
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=_TIMEOUT,
            retries=False,
        )
        try:
            answer = json.loads(response.data) if response.data else {}
        except ValueError:
            # Not Kubernetes itself: a proxy before it, or plain words such as those of a server that starts.
            answer = {"message": response.data.decode(errors="replace").strip()[:500]}
        return response.status, response.headers, answer


def _pauses() -> Iterator[float | None]:
    """How long to wait after each try that fails; None after the last."""
    for number in range(_TRIES - 1):
        yield min(_LONGEST_WAIT, _FIRST_WAIT * 2**number) * random.uniform(0.75, 1.25)
    yield None


def _seconds(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
