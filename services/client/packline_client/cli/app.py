"""The `packline` command: its groups, and how errors end it.

Exit codes: 0 done, 1 failed (wholly or in part), 2 wrong usage or input, 3 not found, 4 not available now (not running,
busy, out of time), 5 refused as things stand, 130 interrupted.
"""

from __future__ import annotations

import os
from typing import Any

import typer
from packline_core.errors import PacklineError
from typer.core import TyperGroup

from packline_client.cli.common import Exit, complain, exit_of


class Group(TyperGroup):
    """Turns what a command raises into one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except PacklineError as error:
            complain(error.message)
            raise typer.Exit(exit_of(error)) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(Exit.INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
            missing = isinstance(error, FileNotFoundError)
            raise typer.Exit(Exit.NOT_FOUND if missing else Exit.FAILED) from None
        except Exception as error:
            # The last place where an error can be told without a traceback; typer's own carry their exit code.
            if hasattr(error, "exit_code") or isinstance(error, typer.Abort) or os.environ.get("PACKLINE_DEBUG"):
                raise
            complain(f"{type(error).__name__}: {error}. This is a defect of Packline; PACKLINE_DEBUG=1 shows where")
            raise typer.Exit(Exit.FAILED) from None


def new_app(help_text: str, **options: Any) -> typer.Typer:
    """A group of commands. Help is plain text: rich takes three times as long to print it."""
    return typer.Typer(
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )
