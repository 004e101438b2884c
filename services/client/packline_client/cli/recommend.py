"""`packline recommend`: what a user, or the visitor of a session, may want next."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from packline_core.errors import InvalidInput

from packline_client.cli.common import NameArgument, TimeoutOption, connected, plain, print_table, say

if TYPE_CHECKING:
    from packline_client.recommendation import Recommendations


class Format(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSONL = "jsonl"


def recommend(  # noqa: PLR0917 - a command's options
    name: NameArgument,
    user: Annotated[str, typer.Option(help="A user's id.")] = "",
    items: Annotated[str, typer.Option(help="Items of a session, newest last.", metavar="A,B,…")] = "",
    k: Annotated[int, typer.Option("-k", min=0, help="How many.")] = 10,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Only items whose attribute is so.", metavar="NAME=VALUE")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="What is known of the situation.", metavar="NAME=VALUE")
    ] = None,
    output: Annotated[
        Format, typer.Option("--format", "-f", help="text, or jsonl: one JSON object a result.")
    ] = Format.TEXT,
    timeout: TimeoutOption = 30.0,
) -> None:
    """Recommend items to a user, or to the visitor of a session.

    What must be said about the answer (an unknown user, too few items) is said on stderr.
    """
    session = [item for item in items.split(",") if item]
    if not user and not session:
        raise InvalidInput("give --user ID, or --items A,B for a session", field="user")
    wanted: dict[str, list[str]] = {}
    for attribute, value in _pairs(filters or [], "--filter"):
        wanted.setdefault(attribute, []).append(value)
    with connected(timeout) as client:
        answer = client.recommendation.recommend(
            name, user, items=session, k=k, filters=wanted, context=dict(_pairs(context or [], "--context"))
        )
    for item in answer.unknown_items:
        say(f"item {item} is unknown")
    for note in answer.notes:
        say(note)
    if output is Format.JSONL:
        for rank, result in enumerate(answer.results, 1):
            typer.echo(json.dumps({"rank": rank, **plain(result)}, ensure_ascii=False))
        return
    _print(answer)


def _print(answer: Recommendations) -> None:
    rows = [
        (
            str(rank),
            result.item,
            f"{result.score:.4g}",
            result.text,
            ", ".join(f"{cause.item} {cause.share:.0%}" for cause in result.causes),
        )
        for rank, result in enumerate(answer.results, 1)
    ]
    print_table(("RANK", "ITEM", "SCORE", "TEXT", "BECAUSE OF"), rows)
    words = {
        "user": "by the user's history",
        "session": "by the session",
        "popular_in_context": "by what is popular in the context",
        "popular": "by what is popular",
    }
    typer.echo(f"{words.get(answer.basis, answer.basis)}, {answer.model_version}")


def _pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    pairs = [text.partition("=") for text in texts]
    if bad := [text for text, (name, sign, _) in zip(texts, pairs, strict=True) if not name or not sign]:
        raise InvalidInput(f"{option} {bad[0]}: write NAME=VALUE", field=option.removeprefix("--"))
    return [(name, value) for name, _, value in pairs]
