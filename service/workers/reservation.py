"""Reserves the port that the workers share, against all other programs."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from service.process import AddressInUse


@contextmanager
def reserved(listen: str) -> Iterator[str]:
    """Hold the port of HOST:PORT until the context ends; yield the address, with the port that port 0 has become.

    Sockets of the same account that set SO_REUSEPORT may listen on the port meanwhile, others may not: neither another
    server nor another parent. The sockets here do not listen and receive no connection. Raises AddressInUse.
    """
    host, _, text = listen.rpartition(":")
    name, port = host.strip("[]"), int(text)
    try:
        found = socket.getaddrinfo(name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _in_use(listen) from error
    both = len({family for family, *_ in found}) > 1
    with ExitStack() as held:
        failure: OSError | None = None
        bound: socket.socket | None = None
        for family, _, _, _, (address, _, *rest) in found:
            try:
                bound = held.enter_context(_reserved(family, (address, port, *rest), both=both))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise _in_use(listen) from error
                failure = error  # such as ::1 of localhost on a host without IPv6
            else:
                port = bound.getsockname()[1]
        if failure and bound is None:
            raise _in_use(listen) from failure
        yield f"{host}:{port}"


def _in_use(listen: str) -> AddressInUse:
    return AddressInUse(f"Cannot listen on {listen}: it is in use, or not an address.")


def _reserved(family: int, address: tuple[object, ...], *, both: bool) -> socket.socket:
    """Return a bound socket that shares its port with sockets of this account, once no other program has the port."""
    first = socket.socket(family, socket.SOCK_STREAM)
    with first:
        if both and family == socket.AF_INET6:
            first.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last server may linger
        first.bind(address)
        first.listen()  # fails where another socket is bound to the port, also one that is reserved like this
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        second = socket.socket(family, socket.SOCK_STREAM)
        try:
            if both and family == socket.AF_INET6:
                second.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            second.bind(first.getsockname())
            # With it, another socket that has it could be bound to the port beside this one, which does not listen.
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        except OSError:
            second.close()
            raise
    return second
