"""A standard error that is not read: the server continues, later logs how many lines were dropped, and stops."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from blotter.orders.v1 import order_service_pb2, order_service_pb2_grpc
from service import logs
from tests.conftest import ALICE, Database
from tests.operations.command_line import environment, free_port
from tests.serving import as_trader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def test_a_server_whose_log_is_not_read_serves_and_stops(
    database: Database, tmp_path: Path, pipe: tuple[int, int]
) -> None:
    reading, writing = pipe
    target = f"127.0.0.1:{free_port()}"
    settings = {"BLOTTER_DATABASE_URL": database.url, "BLOTTER_LISTEN": target, "BLOTTER_SEQUENCER": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"],
        cwd=tmp_path, env=environment(**settings), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writing,
    )  # fmt: skip
    with process, grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(60)
            stub = order_service_pb2_grpc.OrderServiceStub(channel)
            for _ in range(600):  # some 200 lines fill a pipe
                stub.ListOrders(order_service_pb2.ListOrdersRequest(), metadata=as_trader(ALICE), timeout=20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert b"Serving on" in os.read(reading, 65536)


def test_lines_beyond_the_queue_are_dropped_and_counted(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    filled = 0
    try:
        while True:
            filled += os.write(writing, b"x" * 1024)
    except BlockingIOError:
        os.set_blocking(writing, True)
    handler, writer = logs.queued(writing, logging.Formatter("%(levelname)s %(message)s"), size=10)
    writer.start()
    for number in range(50):
        handler.handle(logging.makeLogRecord({"msg": "line %d", "args": (number,), "levelname": "INFO"}))
    written = b""

    def read() -> None:
        nonlocal written
        while b"line 50\n" not in written:
            written += os.read(reading, 65536)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while handler.dropped:
        assert reader.is_alive()
    handler.handle(logging.makeLogRecord({"msg": "line 50", "levelname": "INFO"}))
    writer.stop()
    reader.join(20)
    lines = written[filled:].decode().splitlines()
    kept = [line for line in lines if line.startswith("INFO line")]
    [reported] = [line for line in lines if "dropped" in line]
    assert kept[:10] == [f"INFO line {number}" for number in range(10)]
    assert reported == f"WARNING {51 - len(kept)} lines of the log were dropped: standard error was not read."


def test_the_stop_does_not_wait_indefinitely_for_a_reader(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.2)
    handler, writer = logs.queued(pipe[1], logging.Formatter("%(message)s"), size=10)
    writer.start()
    for _ in range(5):
        handler.handle(logging.makeLogRecord({"msg": "x" * 100_000}))
    stopping = threading.Thread(target=writer.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()
    lines = 0
    while lines < 5:  # the writer must end before the pipe is closed
        lines += os.read(pipe[0], 65536).count(b"\n")


def test_an_exception_and_the_fields_of_a_record_survive_the_queue(pipe: tuple[int, int]) -> None:
    handler, writer = logs.queued(pipe[1], logs.Json("{asctime}{message}", style="{"))
    writer.start()
    try:
        int("of the test")
    except ValueError:
        record = logging.makeLogRecord(
            {"msg": "reported %s", "args": ("so",), "exc_info": sys.exc_info(), "actor": "zoë"}
        )
        handler.handle(record)
    writer.stop()
    line = json.loads(os.read(pipe[0], 65536))
    assert (line["message"], line["actor"]) == ("reported so", "zoë")
    assert line["exc_info"].startswith("Traceback")
