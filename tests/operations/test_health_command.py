"""`blotter health` as a probe runs it: the exit status is 0 for SERVING alone."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse

from service.cli.health import health as command
from tests.authentication.certificates import Authority, Leaf
from tests.operations.command_line import DEADLINE, environment, free_port, run
from tests.serving import Server


def health(*arguments: str, **settings: str) -> Result:
    """Run the command in this process; `test_a_service_that_serves_is_healthy` runs it as a health check does."""
    return CliRunner().invoke(command, arguments, env=settings)


def test_a_service_that_serves_is_healthy(server: Server, tmp_path: Path) -> None:
    done = run("health", "--service", "", cwd=tmp_path, BLOTTER_LISTEN=server.target)
    assert (done.returncode, done.stdout) == (0, "the server: SERVING\n"), done.stderr
    module = subprocess.run(
        [sys.executable, "-m", "service.cli.health", "--service", "nobody"],
        cwd=tmp_path,
        env=environment(BLOTTER_LISTEN=server.target),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (module.returncode, module.stdout) == (1, "")
    assert "NOT_FOUND" in module.stderr


def test_no_answer_is_not_healthy() -> None:
    away = health("--target", f"127.0.0.1:{free_port()}")
    assert away.exit_code == 1
    assert "UNAVAILABLE" in away.stderr
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and never answers
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        hanging = health("--target", target, "--timeout", "0.2")
    assert hanging.exit_code == 1
    assert "DEADLINE_EXCEEDED" in hanging.stderr


@contextmanager
def serving_tls(own: Leaf, clients: Authority | None) -> Iterator[str]:
    """A server with TLS that demands certificates of `clients`, and is healthy; yields its address."""
    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        servicer = HealthServicer()
        servicer.set("readiness", HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        credentials = grpc.ssl_server_credentials(
            [(own.key_pem, own.cert_pem)], clients.pem if clients else None, require_client_auth=clients is not None
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def test_tls_is_checked_against_an_authority_or_the_certificate_of_the_service(tmp_path: Path) -> None:
    authority, others = Authority(), Authority()
    own, other, caller = authority.server(), authority.server(), others.client()
    (tmp_path / "ca.crt").write_bytes(authority.pem)
    for name, leaf in (("own", own), ("other", other), ("caller", caller)):
        leaf.write(tmp_path, name)
    with serving_tls(own, None) as target:
        at = ("--target", target)
        assert health(*at, "--tls-ca", str(tmp_path / "ca.crt")).output == "readiness: SERVING\n"
        same_environment = health(*at, BLOTTER_TLS_CERT=str(tmp_path / "own.crt"))
        assert same_environment.exit_code == 0, same_environment.stderr
        assert health(*at, "--tls-server-cert", str(tmp_path / "other.crt")).exit_code == 1
        in_clear = health(*at)
        assert in_clear.exit_code == 1
        assert "If the port speaks TLS, give --tls-ca" in in_clear.stderr
    with serving_tls(own, others) as target:
        checked = ("--target", target, "--tls-ca", str(tmp_path / "ca.crt"))
        assert health(*checked).exit_code == 1
        presented = health(
            *checked, "--tls-cert", str(tmp_path / "caller.crt"), "--tls-key", str(tmp_path / "caller.key")
        )
        assert presented.exit_code == 0, presented.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tls-ca", "absent"], "'absent' does not exist"),
        (["--tls-cert", __file__], "require each other"),
        (["--tls-cert", __file__, "--tls-key", __file__], "requires --tls-ca"),
        (["--tls-server-cert", __file__], "is not a certificate of a server"),
        (["--timeout", "0"], "0"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], said: str) -> None:
    refused = health(*arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
