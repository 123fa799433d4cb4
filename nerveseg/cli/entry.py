"""Put the verbs together, and turn whatever goes wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import nerveseg
from nerveseg.cli import data, devices, live, model, needle, phantom, predict, serve
from nerveseg.cli.exits import FAILED, INTERRUPTED, Stopped
from nerveseg.errors import NervesegError

__all__ = ["app", "main"]

_DEBUG = "--debug"

app = typer.Typer(
    name="nerveseg",
    help="Nerves, vessels and fascia in ultrasound. For education only, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("predict")(predict.predict)
app.command("needle")(needle.needle)
app.command("app")(serve.app)
app.command("live")(live.live)
app.command("devices")(devices.devices)
app.command("phantom")(phantom.phantom)
app.command("bench")(model.bench)
app.add_typer(model.models, name="model")
app.add_typer(data.datasets, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nerveseg {nerveseg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and end.", is_eager=True, callback=_show_version
        ),
    ] = False,
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show the full trace of an error.")] = False,
) -> None:
    """Options of every verb; `main` takes ``--debug`` from anywhere on the line."""
    del version, debug


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's own) and return its exit code.

    0 is success, 2 an error or a partial failure that was told on stderr, 130 a stop by Ctrl-C.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _DEBUG in given
    command = typer.main.get_command(app)
    try:
        words = [word for word in given if word != _DEBUG]
        code = command.main(args=words, prog_name="nerveseg", standalone_mode=False)
    except typer.TyperException as error:
        return _complain(error.format_message() + _see_help(given), debug=debug)
    except NervesegError as error:
        return _complain(str(error), debug=debug)
    except (Stopped, KeyboardInterrupt, typer.Abort) as error:
        return _stopped(str(error))
    except BrokenPipeError:
        # The reader went away (`nerveseg data list | head`): keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - no user should ever see a trace unasked
        told = f"unexpected {type(error).__name__}: {error}; add {_DEBUG} to see where"
        return _complain(told, debug=debug)
    # Typer itself turns a Ctrl-C that no verb has answered into this code, without a word.
    return _stopped("") if code == INTERRUPTED else int(code or 0)


def _stopped(kept: str) -> int:
    typer.echo(f"nerveseg: stopped{'; ' if kept else ''}{kept}", err=True)
    return INTERRUPTED


def _complain(message: str, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    typer.echo(f"nerveseg: {' '.join(message.split())}", err=True)
    return FAILED


def _see_help(given: Sequence[str]) -> str:
    verb = [word for word in given[:1] if not word.startswith("-")]
    return f" See `{' '.join(['nerveseg', *verb, '--help'])}`."
