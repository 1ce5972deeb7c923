"""The Node example resumes after a drain and a crash of the server, and prints the details of errors."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

from tests.conftest import ALICE, Database
from tests.operations.command_line import DEADLINE, Serving, environment, free_port, until
from tests_node.conftest import SOURCE, program

ORDERS = 10  # one per second: enough that some remain after the second restart


def test_it_resumes_across_restarts_and_decodes_errors(example: Path, database: Database, tmp_path: Path) -> None:
    settings = {
        "BLOTTER_LISTEN": f"127.0.0.1:{free_port()}",
        "BLOTTER_DATABASE_URL": database.url,
        "BLOTTER_SEQUENCER": "false",
    }
    output = tmp_path / "output"
    server = Serving(tmp_path, **settings)
    with output.open("w") as writing:
        try:
            server.await_ready()
            node = subprocess.Popen(
                [program("node"), "example.js"],
                cwd=example,
                env=environment(BLOTTER_TARGET=server.target, TRADER_ID=str(ALICE), ORDERS=str(ORDERS)),
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=subprocess.STDOUT,
            )
            try:
                for stop in (signal.SIGTERM, signal.SIGKILL):
                    await_event(output, node)
                    server.process.send_signal(stop)
                    server.ended()
                    server = Serving(tmp_path, **settings)
                    server.await_ready()
                status = node.wait(DEADLINE)
            finally:
                node.kill()
                node.wait(DEADLINE)
        finally:
            server.process.kill()
            server.ended()

    text = output.read_text()
    assert status == 0, text
    assert text.count("the snapshot is complete") == 1, text
    assert events(output) == [*["SUBMITTED"] * ORDERS, "CANCELLED"], text
    assert f"\n{ORDERS + 1} events, each once and in order\n" in text
    assert "\nsubmitted again: replayed true\n" in text
    assert re.search(r"^INVALID_ARGUMENT INVALID_REQUEST: .*\n  quantity: .*\n  price: ", text, re.MULTILINE), text
    assert re.search(r"^ALREADY_EXISTS CLIENT_ORDER_ID_REUSED: ", text, re.MULTILINE), text
    assert re.search(r"^UNAVAILABLE DRAINING: .*\n  retry after 1000 ms$", text, re.MULTILINE), text
    assert re.search(r"^UNAVAILABLE : .*\n(?!  retry)", text, re.MULTILINE), text


def await_event(output: Path, node: subprocess.Popen[bytes]) -> None:
    """Wait until the example prints another event, or ends."""
    seen = len(events(output))
    until(lambda: len(events(output)) > seen or node.poll() is not None, "the example printed no event")


def events(output: Path) -> list[str]:
    """Return the actions of the events that the example has printed."""
    return re.findall(r"^\d+ ACTION_([A-Z]+) ", output.read_text(), re.MULTILINE)


def test_its_lock_file_pins_each_package_by_hash_and_names_no_registry() -> None:
    packages = json.loads((SOURCE / "package-lock.json").read_text("utf-8"))["packages"]
    del packages[""]
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())
