"""A TCP proxy between the client and a server that can discard the server's data and close connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cuttable:
    """Forwards the data of both sides. While `mute` is set, the server's data is discarded."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.mute = threading.Event()
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Close the open connections. New ones are accepted."""
        for end in self._open:
            with contextlib.suppress(OSError):  # it is already closed
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close all connections and accept no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()

    def serve(self) -> None:
        """Accept connections until `close`."""
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
                self._open += [client, server]
                for source, sink, mute in ((client, server, threading.Event()), (server, client, self.mute)):
                    threading.Thread(target=self._forward, args=(source, sink, mute), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, mute: threading.Event) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not mute.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def cuttable(target: str) -> Iterator[Cuttable]:
    """Run a proxy to the target in its own threads."""
    proxy = Cuttable(target)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
