"""`blotter health`: asks a running service for its health; also `python -m service.cli.health`, which starts faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from service.cli import options

# A probe asks the service itself, never a proxy of the environment.
CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0),)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--service", default="readiness", show_default=True, help="The name that is asked for; '' asks for all.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3, show_default=True, help="Deadline in seconds."
)
@click.option("--tls-ca", type=FILE, help="Certificates that the service's one is checked against; none: no TLS.")
@click.option("--tls-name", help="Name in the service's certificate, where it is not the host of the target.")
@click.option("--tls-cert", type=FILE, help="Certificate of the caller, where the service requires one.")
@click.option("--tls-key", type=FILE, help="Its private key.")
@options.target
def health(
    target: str,
    service: str,
    timeout: float,
    tls_ca: Path | None,
    tls_name: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Ask a running service for its health. Exit status 0: SERVING; 1: anything else, also no answer."""
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key require each other.")
    if tls_ca is None and (tls_name or tls_cert):
        raise click.UsageError("--tls-name and --tls-cert require --tls-ca.")
    with _channel(target, tls_ca, tls_name, tls_cert, tls_key) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(pb.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            raise click.ClickException(f"{target}: {error.code().name}: {error.details()}") from error
    status = pb.HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(f"{service or 'the server'}: {status}")
    if answer.status != pb.HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)


def _channel(
    target: str, ca: Path | None, name: str | None, certificate: Path | None, key: Path | None
) -> grpc.Channel:
    if ca is None:
        return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    chain, private = (certificate.read_bytes(), key.read_bytes()) if certificate and key else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), private, chain)
    named = (("grpc.ssl_target_name_override", name),) if name else ()
    return grpc.secure_channel(target, credentials, options=(*CHANNEL_OPTIONS, *named))


if __name__ == "__main__":
    health()
