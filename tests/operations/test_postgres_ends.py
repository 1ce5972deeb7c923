"""The embedded Postgres ends while the service runs: it is restarted, or the service ends with one message."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import grpc

from blotter.orders.v1 import order_service_pb2_grpc as orders_grpc
from blotter.orders.v1 import watch_pb2
from replay.traders import DEMO_TRADERS
from tests.operations.command_line import serving, until
from tests.serving import as_trader, order_request

ADA = as_trader(next(iter(DEMO_TRADERS)))


def submit(channel: grpc.Channel, client_order_id: str) -> grpc.StatusCode:
    """Submit an order; return the status."""
    request = order_request(client_order_id=client_order_id)
    try:
        orders_grpc.OrderServiceStub(channel).SubmitOrder(request, metadata=ADA, timeout=20)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def server_pid(home: Path) -> int:
    """Return the pid of the server process, 0 while there is none."""
    try:
        return int((home / "postgres" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0


class Watch:
    """A stream of the trader's orders, resumed with its last token whenever it breaks."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = orders_grpc.OrderServiceStub(channel)
        self.sequences: list[int] = []
        self.snapshot = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        token = ""
        while not self._stopped.is_set():
            try:
                request = watch_pb2.WatchOrdersRequest(resume_token=token)
                for message in self._stub.WatchOrders(request, metadata=ADA, timeout=60):
                    if self._stopped.is_set():
                        break
                    token = message.resume_token or token
                    self.snapshot |= message.HasField("snapshot_complete")
                    self.sequences += [event.sequence for event in message.events.events]
            except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
                self._stopped.wait(0.1)

    def stop(self) -> None:
        """Stop reading; the caller closes the channel next, which ends the call."""
        self._stopped.set()


def test_a_killed_postgres_is_started_again_and_calls_and_streams_recover(tmp_path: Path) -> None:
    home = tmp_path / ".blotter"
    with serving(tmp_path) as server, server.channel() as channel:
        assert submit(channel, "before") is grpc.StatusCode.OK
        watch = Watch(channel)
        try:
            until(lambda: watch.snapshot, "the stream sent no snapshot")
            killed = server_pid(home)
            os.kill(killed, signal.SIGKILL)
            codes: list[grpc.StatusCode] = []

            def submitted() -> bool:
                codes.append(submit(channel, f"after-{len(codes)}"))
                return codes[-1] is grpc.StatusCode.OK and server_pid(home) not in {0, killed}

            until(submitted, f"no submit succeeded: {codes}")
            assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
            until(lambda: len(watch.sequences) >= codes.count(grpc.StatusCode.OK), "the stream did not recover")
            assert watch.sequences == list(range(2, 2 + len(watch.sequences)))
        finally:
            watch.stop()
        assert "PostgreSQL runs again" in server.text


def test_when_it_cannot_be_started_again_the_service_ends_with_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / ".blotter"
    with serving(tmp_path) as server:
        (home / "postgres" / "PG_VERSION").unlink()
        os.kill(server_pid(home), signal.SIGKILL)
        assert server.ended() == 1
        assert "Traceback" not in server.text
        last = server.text.strip().split("\n")[-1]
        assert last.startswith("Error: PostgreSQL has ended and cannot be restarted: ")
        assert "PG_VERSION is missing" in last
