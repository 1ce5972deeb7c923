"""The command line. `replay` and `demo` are in a clone only."""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click
from pydantic import ValidationError

from blotter_verifier.notes import InvalidKey
from service.domain.errors import BlotterError, Refused

COMMANDS = {
    "audit": "audit",
    "desks": "desks",
    "health": "health",
    "identity-key": "identity_key",
    "keys": "ledger",
    "ledger": "ledger",
    "migrate": "migrate",
    "permissions": "permissions",
    "principals": "principals",
    "protos": "protos",
    "sequence": "sequence",
    "serve": "serve",
    "traders": "traders",
}
"""The module of service.cli that holds each command, as a function of the command's name."""

if find_spec("replay"):  # the package is in a clone, not in the server's wheel
    COMMANDS |= {"demo": "replay", "replay": "replay"}


class _Commands(click.Group):
    """Imports a command when it is used, and prints expected failures in one sentence instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's
        """Return a command; None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"service.cli.{COMMANDS[cmd_name]}"), cmd_name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises click.ClickException."""
        try:
            return super().invoke(ctx)
        except ValidationError as error:
            raise click.ClickException("\n".join(_setting_error(item) for item in error.errors())) from error
        except BrokenPipeError:  # the reader of the output has closed it, as `head` does; Click exits silently
            raise
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise click.ClickException(what) from error
        except (Refused, BlotterError, InvalidKey) as error:
            raise click.ClickException(str(error)) from error


def _setting_error(item: Any) -> str:
    name = f"BLOTTER_{str(item['loc'][0]).upper()}" if item["loc"] else ""
    message = str(item["msg"]).removeprefix("Value error, ")
    if name and message.startswith("Input should be "):  # pydantic's text for a number, a truth value or a choice
        must = message.removeprefix("Input should be ").partition(", unable to")[0]
        return f"{name}={item['input']} must be {must}."
    return f"{name}: {message}" if name else message


def _end(_signal: int, _frame: object) -> None:
    """Raise an exception at SIGTERM, so that an embedded server that is starting is stopped."""
    raise SystemExit(128 + signal.SIGTERM)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="blotter")
def main() -> None:
    """Blotter: a trading desk's book of record of orders and fills."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
