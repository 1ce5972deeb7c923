"""The server's wheel serves, migrates and registers traders, with the embedded and with another PostgreSQL."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.embedded import Cluster
from tests.operations.command_line import free_port
from tests.paths import ROOT
from tests_wheels.conftest import COMMAND_SECONDS, Environment

SUBMIT = """
import sys
from decimal import Decimal
from blotter_client import Client, OrderType, Side
with Client(sys.argv[1], trader_id=sys.argv[2]) as client:
    order = client.submit_order("AAPL", Side.BUY, OrderType.LIMIT, 100, Decimal("585.33")).order
    assert client.get_order(order.order_id).price == "585.33"
    with client.watch_orders() as stream:
        assert next(stream).snapshot.orders[0].order_id == order.order_id
"""


@contextmanager
def served(server: Environment, cwd: Path, **settings: str) -> Iterator[str]:
    """Run `blotter serve`, which must exit cleanly on Ctrl-C; yield its address."""
    target = f"127.0.0.1:{free_port()}"
    output = cwd.parent / "output"
    with output.open("w") as writing:
        process = subprocess.Popen(
            [server.program("blotter"), "serve"],
            cwd=cwd,
            env=server.variables | {"BLOTTER_LISTEN": target} | settings,
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + COMMAND_SECONDS
        while "Ctrl-C stops it" not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        yield target
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait(COMMAND_SECONDS)
    assert status in {0, 130}, output.read_text()
    assert "Traceback" not in output.read_text()


def test_it_serves_in_an_empty_directory(server: Environment, empty: Path) -> None:
    with served(server, empty) as target:
        added = server.run("blotter", "traders", "add", "Zoe", cwd=empty)
        assert added.returncode == 0, added.stderr
        submitted = server.run("python", "-c", SUBMIT, target, added.stdout.strip(), cwd=empty)
        assert submitted.returncode == 0, submitted.stderr
        shown = server.run("blotter", "keys", "show", cwd=empty)
        (empty / "key").write_text(shown.stdout)
        deadline = time.monotonic() + COMMAND_SECONDS
        while (exported := server.run("blotter", "audit", "export", "trail", "--target", target, cwd=empty)).returncode:
            assert time.monotonic() < deadline, exported.stderr  # the first checkpoint is signed within two seconds
        verified = server.run("blotter-verify", "bundle", "trail", "--key", "key", cwd=empty)
        assert verified.returncode == 0, verified.stdout
        assert verified.stdout.startswith("VERIFIED.")


def test_its_commands_and_files_are_those_of_the_server(server: Environment, empty: Path) -> None:
    shown = server.run("blotter", "--help", cwd=empty).stdout
    assert "serve" in shown
    assert "demo" not in shown  # the order flow is not part of the server's distribution
    files = server.run(
        "python", "-c", "import importlib.metadata as m; print(*m.files('blotter'), sep='\\n')", cwd=empty
    ).stdout
    top = {Path(line).parts[0] for line in files.splitlines() if not line.startswith("..")}
    assert {name for name in top if not name.endswith(".dist-info")} == {"service"}


def test_it_writes_the_contract(server: Environment, empty: Path) -> None:
    written = server.run("blotter", "protos", "contract", cwd=empty)
    assert written.returncode == 0, written.stderr
    own = {path.relative_to(ROOT / "protos") for path in (ROOT / "protos").rglob("*.proto")}
    google = {Path("google/rpc/error_details.proto"), Path("google/rpc/status.proto")}
    assert {path.relative_to(empty / "contract") for path in empty.rglob("*.proto")} == own | google


def test_another_database_is_prepared_and_served(server: Environment, empty: Path, tmp_path: Path) -> None:
    def blotter(*arguments: object, **settings: str) -> str:
        ended = server.run("blotter", *arguments, cwd=empty, **settings)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    offline = blotter("migrate", "sql")
    assert "CREATE TABLE orders" in offline
    cluster = Cluster(tmp_path / "postgres")
    cluster.start()
    try:
        (tmp_path / "roles.sql").write_text(blotter("migrate", "roles"))
        (tmp_path / "harden.sql").write_text(blotter("migrate", "harden"))
        cluster.psql(tmp_path / "roles.sql")
        cluster.psql("CREATE DATABASE desk OWNER blotter_owner")
        host = cluster.conninfo(user="x", dbname="desk").split("host=")[1].split()[0].strip("'")
        port = cluster.conninfo(user="x", dbname="desk").split("port=")[1].split()[0].strip("'")
        own = {"BLOTTER_DATABASE_URL": f"postgresql:///desk?host={host}&port={port}"}
        keys = {"BLOTTER_LEDGER_KEYS": str(tmp_path / "keys"), "BLOTTER_LEDGER_ORIGIN": "example.com/desk"}
        blotter("keys", "generate", **keys)
        assert "at revision" in blotter("migrate", "upgrade", **own)
        cluster.psql(tmp_path / "harden.sql", dbname="desk")
        trader = blotter("traders", "add", "Zoe", **own).strip()
        with served(server, empty, **own, **keys) as target:
            submitted = server.run("python", "-c", SUBMIT, target, trader, cwd=empty)
            assert submitted.returncode == 0, submitted.stderr
        assert list(empty.iterdir()) == [], "with another database no file is written to the working directory"
    finally:
        cluster.stop()
