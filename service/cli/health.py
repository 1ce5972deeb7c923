"""`blotter health`: asks a running service for its health; also `python -m service.cli.health`, which starts faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from service.cli import options

# A probe asks the service itself, never a proxy of the environment.
CHANNEL_OPTIONS: tuple[tuple[str, str | int], ...] = (("grpc.enable_http_proxy", 0),)


@click.command()
@click.option("--service", default="readiness", show_default=True, help="The name that is asked for; '' asks for all.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3, show_default=True, help="Deadline in seconds."
)
@options.tls
@click.option(
    "--tls-server-cert",
    type=options.FILE,
    envvar="BLOTTER_TLS_CERT",
    help="In place of --tls-ca: the service's own certificate, whatever the host of the target is.  "
    "[default: that of a service with the same environment; without any, no TLS]",
)
@options.target
def health(
    target: str,
    service: str,
    timeout: float,
    tls_ca: Path | None,
    tls_server_cert: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Ask a running service for its health. Exit status 0: SERVING; 1: anything else, also no answer."""
    given = options.certificates(tls_ca or tls_server_cert, tls_cert, tls_key)
    if trusted := given["root_certificates"]:
        more = () if tls_ca else (("grpc.ssl_target_name_override", _name(trusted)),)
        credentials = grpc.ssl_channel_credentials(trusted, given["private_key"], given["certificate_chain"])
        channel = grpc.secure_channel(target, credentials, options=(*CHANNEL_OPTIONS, *more))
    else:
        channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    with channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(pb.HealthCheckRequest(service=service), timeout=timeout)
        except grpc.RpcError as error:
            hint = ""
            if error.code() is grpc.StatusCode.UNAVAILABLE and not trusted:
                hint = " If the port speaks TLS, give --tls-ca (and --tls-cert, --tls-key for BLOTTER_TLS_CLIENT_CA)."
            raise click.ClickException(f"{target}: {error.code().name}: {error.details()}.{hint}") from error
    status = pb.HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(f"{service or 'the server'}: {status}")
    if answer.status != pb.HealthCheckResponse.SERVING:
        raise click.exceptions.Exit(1)


def _name(certificates: bytes) -> str:
    """Return a name that the first certificate is valid for."""
    try:
        names = (
            x509.load_pem_x509_certificate(certificates)
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
    except (ValueError, x509.ExtensionNotFound) as error:
        raise click.UsageError(f"--tls-server-cert is not a certificate of a server: {error}") from error
    [*hosts] = names.get_values_for_type(x509.DNSName) or map(str, names.get_values_for_type(x509.IPAddress))
    return hosts[0].replace("*", "health") if hosts else ""


if __name__ == "__main__":
    health()
