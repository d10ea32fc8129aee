"""The root command. `--help` must stay quick: nothing here imports pydantic, fastapi or torch."""

from __future__ import annotations

import sys

import typer

from server.cli import (
    adapters,
    chains,
    connections,
    doctor,
    generate,
    keys,
    models,
    recipe,
    serve,
    usage,
    version,
)
from server.cli.console import FAILURE, USAGE, CommandError, print_error
from server.domain.errors import (
    AppError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestRefusedError,
)

# What the person typed is at fault, not the machine.
_USAGE_ERRORS = (InvalidRequestError, ModelNotFoundError, RequestRefusedError)


def build() -> typer.Typer:
    """Return the command with all its sub-commands."""
    app = typer.Typer(
        name="greenroom",
        help="A self-hosted image server for people who draw the same characters again and again.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command("serve")(serve.serve)
    app.command("generate")(generate.generate)
    app.command("recipe")(recipe.recipe)
    app.add_typer(models.build(), name="models")
    app.add_typer(adapters.build(), name="adapters")
    app.add_typer(connections.build(), name="connections")
    app.add_typer(chains.build(), name="chains")
    app.add_typer(keys.build(), name="keys")
    app.command("usage")(usage.usage)
    app.command("doctor")(doctor.doctor)
    app.command("version")(version.version)
    return app


def run(arguments: list[str] | None = None) -> None:
    """Run the command line; every known error becomes one line and an exit code.

    Args:
        arguments: words after `greenroom`; None takes the process's own.

    Raises:
        SystemExit: always; 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    try:
        build()(arguments, prog_name="greenroom")
    except CommandError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except AppError as error:
        print_error(error.detail)
        sys.exit(USAGE if isinstance(error, _USAGE_ERRORS) else FAILURE)
