"""The command line: each command is one library function with its defaults.

Exit codes: 0 done, 1 `labels check` or `doctor` found something, 2 the input or the options cannot
be used (one line says why), 130 interrupted. A traceback means a bug of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import typer

from vigilia.cli.adapt import adapt
from vigilia.cli.average import average
from vigilia.cli.bench import bench
from vigilia.cli.calibrate import calibrate
from vigilia.cli.demo import demo
from vigilia.cli.doctor import doctor
from vigilia.cli.evaluate import evaluate
from vigilia.cli.events import events
from vigilia.cli.export import export
from vigilia.cli.familiar import familiar
from vigilia.cli.labels import labels
from vigilia.cli.models import models
from vigilia.cli.moments import moments
from vigilia.cli.pretrain import pretrain
from vigilia.cli.run import RunCommand, run
from vigilia.cli.serve import serve
from vigilia.cli.simulate import simulate
from vigilia.cli.stress import stress
from vigilia.cli.surprise import surprise
from vigilia.cli.train import train
from vigilia.cli.view import view
from vigilia.cli.views import views
from vigilia.errors import VigiliaError

__all__ = ["app", "main"]

app = typer.Typer(
    name="vigilia",
    help="Classifies video that never ends, second by second, with a memory that stays bounded.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, Callable[..., object]] = {
    "run": run,
    "train": train,
    "pretrain": pretrain,
    "adapt": adapt,
    "evaluate": evaluate,
    "view": view,
    "serve": serve,
    "export": export,
    "models": models,
    "simulate": simulate,
    "demo": demo,
    "doctor": doctor,
    "average": average,
    "views": views,
    "calibrate": calibrate,
    "surprise": surprise,
    "moments": moments,
    "familiar": familiar,
    "stress": stress,
}

for name, command in COMMANDS.items():
    app.command(name, cls=RunCommand if command is run else None)(command)

app.add_typer(labels, name="labels")
app.add_typer(bench, name="bench")
app.add_typer(events, name="events")


def _show_version(asked: bool) -> None:
    if asked:
        from vigilia import __version__

        typer.echo(f"vigilia {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Classifies video that never ends, second by second, with a memory that stays bounded."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    try:
        result = app(
            args=None if arguments is None else list(arguments),
            prog_name="vigilia",
            standalone_mode=False,
        )
    except VigiliaError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return 0
    except Exception as error:
        # What the option parser raises, whichever package it comes from.
        if type(error).__name__ == "Abort":  # some versions' name for KeyboardInterrupt
            return _interrupted()
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        message = explain()
        # Without a command the help is shown, and there is nothing to add to it.
        return _fail(message) if message else 2
    # Other versions turn KeyboardInterrupt into this code and say nothing.
    if result == 130:
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    typer.echo("interrupted; the same command goes on where it was", err=True)
    return 130


def _fail(message: str) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return 2


def script() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
