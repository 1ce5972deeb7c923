"""The trial of TLS and tokens, examples/identity/README.md, command by command, while other clients call."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from blotter_client import Client
from service.sequencing import KeyFolder
from tests.conftest import Database
from tests.flow.shells import Page, Shell, clone
from tests.operations.command_line import environment, free_port, until
from tests.paths import ROOT

ADA = "11111111-0000-4000-8000-000000000000"
PAGE = ROOT / "examples" / "identity" / "README.md"


@pytest.fixture
def folder(tmp_path: Path, database: Database) -> Iterator[Path]:
    """A clone whose PostgreSQL is the test's. It goes on at the end, also after a test that has suspended it."""
    postgres = Path(database.cluster.psql("SHOW data_directory").strip())
    (tmp_path / ".blotter").mkdir()
    (tmp_path / ".blotter" / "postgres").symlink_to(postgres)
    database.cluster.psql(f"INSERT INTO traders (id, name) VALUES ('{ADA}', 'Ada')", dbname=database.name)
    yield tmp_path
    postmaster = (postgres / "postmaster.pid").read_text().split()[0]
    children = subprocess.run(["pgrep", "-P", postmaster], capture_output=True, text=True, check=False).stdout
    for process in [postmaster, *children.split()]:
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGCONT)


@contextmanager
def calling(target: str, ca: Path, token: Path) -> Iterator[None]:
    """Call all the time, on a connection that stays and on a new one for each call. No call may fail."""
    over = threading.Event()
    calls: list[str] = []
    errors: list[BaseException] = []

    def client() -> Client:
        return Client(target, root_certificates=ca.read_bytes(), token=token.read_text().strip)

    def one(client: Client, connection: str) -> None:
        list(client.list_orders(page_size=1))
        calls.append(connection)

    def call() -> None:
        try:
            with client() as old:
                while not over.wait(0.05):
                    one(old, "old")
                    with client() as new:
                        one(new, "new")
        except BaseException as error:  # noqa: BLE001  # shown by the test
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
        so_far = len(calls)
        until(lambda: errors != [] or len(calls) >= so_far + 4, "no call was answered after the block")
    finally:
        over.set()
        thread.join()
    assert errors == []


def test_the_commands_of_the_page_do_what_it_says(folder: Path, database: Database) -> None:
    keys = KeyFolder(folder / "keys")
    keys.generate("log.example")
    ports = {"50051": free_port(), "9464": free_port()}
    target = f"localhost:{ports['50051']}"
    page = Page(PAGE, ports)
    settings = environment(
        PATH=clone(folder),
        BLOTTER_LISTEN=f"127.0.0.1:{ports['50051']}",
        BLOTTER_DATABASE_URL=database.url,
        BLOTTER_LEDGER_KEYS=str(keys.folder),
        BLOTTER_LEDGER_ORIGIN="log.example",
        BLOTTER_CHECKPOINT_SECONDS="0.2",
        BLOTTER_TLS_RELOAD_SECONDS="0.1",
        BLOTTER_HEALTH_SECONDS="1",
    )
    with Shell(folder, settings) as shell:
        with Shell(folder, settings) as first:
            first.start(page.next("# first shell"), "Ctrl-C stops it")
            try_tokens(page, shell, folder / "pki", target)
        with Shell(folder, settings) as first:
            first.start(page.next("# a new first shell"), "Ctrl-C stops it")
            try_certificates(page, shell)
    assert page.is_read


def try_tokens(page: Page, shell: Shell, pki: Path, target: str) -> None:
    """Run the commands of the second shell as far as the service identifies callers by tokens."""
    shell.run(page.next("# second shell"))

    printed = shell.run(page.next("list"))
    assert "blotter.orders.v1.OrderService\n" in printed
    assert '"clientOrderId": "first"' in printed
    printed = shell.run(page.next("ListAuditAccess"), fails=True)
    assert "Code: Unauthenticated" in printed
    assert "Code: PermissionDenied" in printed
    assert [line.split()[1:] for line in shell.run(page.next("call.py")).splitlines()] == [
        ["SUBMITTED", "AAPL"],
        ["CANCELLED", "AAPL"],
    ]
    assert "npm ci" in page.next("# needs npm's registry")  # tests_node

    with calling(target, pki / "ca.pem", pki / "tokens" / ADA):
        before = (pki / "server.pem").read_bytes()
        assert "SERVING" in shell.run(page.next("make_ca.py"))
        assert (pki / "server.pem").read_bytes() != before
        printed = shell.run(page.next("rm pki/issuer-key.pem"))
    assert '"clientOrderId": "first"' in printed
    assert printed.endswith("No difference.\n")

    printed = shell.run(page.next("rpc_server_call_duration"))
    assert 'rpc_method="blotter.orders.v1.OrderService/SubmitOrder"' in printed
    assert 'blotter_health_serving{service="readiness"} 1.0\n' in printed
    printed = shell.run(page.next("kill -STOP"))
    assert "readiness: NOT_SERVING\n" in printed
    assert "liveness: SERVING\n" in printed
    assert "blotter_db_up 0.0\n" in printed
    assert 'blotter_health_serving{service="readiness"} 0.0\n' in printed
    assert shell.run(page.next("kill -CONT")).endswith("readiness: SERVING\n")
    assert "prometheus.yml" in page.next("# third shell")  # tests_prometheus


def try_certificates(page: Page, shell: Shell) -> None:
    """Run the commands of the second shell once the service identifies callers by certificates."""
    printed = shell.run(page.next("--issuer mtls"))
    assert "readiness: SERVING\n" in printed
    assert '"clientOrderId": "first"' in printed
    assert printed.endswith("CANCELLED AAPL\n")
    assert "npm" not in page.next("TLS_CERT=")  # tests_node
    assert "pki/ada.pem exists" in shell.run(page.next("make_ca.py"), fails=True)
