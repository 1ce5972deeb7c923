"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import click

from blotter_client.metadata import checked_token
from service.settings.serving_settings import is_address

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Certificates(TypedDict):
    """The arguments of the typed client for TLS, as PEM; None where none is given."""

    root_certificates: bytes | None
    certificate_chain: bytes | None
    private_key: bytes | None


def target(function: Callable[..., None]) -> Callable[..., None]:
    """Add `--target`, by default the address that a service with the same environment listens on."""
    return click.option(
        "--target",
        metavar="HOST:PORT",
        envvar="BLOTTER_LISTEN",
        default="127.0.0.1:50051",
        show_default=True,
        callback=_checked,
        help="The address of the service.",
    )(function)


def tls(function: Callable[..., None]) -> Callable[..., None]:
    """Add the files of TLS: the parameters `tls_ca`, `tls_cert` and `tls_key`. `certificates` reads them."""
    for option in (
        click.option("--tls-key", type=FILE, help="Its private key."),
        click.option("--tls-cert", type=FILE, help="Certificate of the caller, where the service requires one."),
        click.option(
            "--tls-ca", type=FILE, help="Certificates that the service's one is checked against; none: no TLS."
        ),
    ):
        function = option(function)
    return function


def certificates(tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None) -> Certificates:
    """Return the content of the files. Raises click.UsageError for a part without the others."""
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key require each other.")
    if tls_ca is None and tls_cert:
        raise click.UsageError("--tls-cert requires --tls-ca.")
    return Certificates(
        root_certificates=tls_ca.read_bytes() if tls_ca else None,
        certificate_chain=tls_cert.read_bytes() if tls_cert else None,
        private_key=tls_key.read_bytes() if tls_key else None,
    )


def token(file: Path) -> str:
    """Return the bearer token in a file, without the spaces and newlines around it.

    Raises OSError, and click.ClickException for a file that holds something else.
    """
    try:
        return checked_token(file.read_text("utf-8", errors="replace").strip())
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}.") from error


def _checked(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    # Other schemes of gRPC, such as dns:///host:port, are left to it.
    if "://" not in value and not is_address(value):
        raise click.BadParameter(f"{value!r} must be HOST:PORT, [IPv6]:PORT or unix:PATH.")
    return value
