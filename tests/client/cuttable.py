"""A TCP proxy between the client and a server that can drop the server's answers and cut connections."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cuttable:
    """Passes on what either side sends. While `mute` is set, what the server sends is dropped."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._upstream = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.mute = threading.Event()
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """End the connections that are open. New ones are served."""
        for end in self._open:
            with contextlib.suppress(OSError):  # it has ended by itself
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections and accept no more."""
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
                    threading.Thread(target=self._pass_on, args=(source, sink, mute), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, mute: threading.Event) -> None:
        with source, contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not mute.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def cuttable(target: str) -> Iterator[Cuttable]:
    """A proxy to the target, in threads of its own."""
    proxy = Cuttable(target)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
