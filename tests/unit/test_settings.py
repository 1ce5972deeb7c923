"""The addresses on which the server may listen without authentication of callers."""

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize(
    "listen",
    ["127.0.0.1:50051", "127.0.0.1:0", "127.9.9.9:1", "[::1]:50051", "localhost:50051", "unix:/run/blotter.sock"],
)
def test_loopback_is_served_on(listen: str) -> None:
    assert Settings(listen=listen).listen == listen


OUTSIDE = [
    "0.0.0.0:50051", "[::]:50051", ":50051", "10.0.0.1:50051", "localhost.evil:50051", "dns:///127.0.0.1:50051",
    "unix-abstract:x", "127.0.0.1:1,0.0.0.0:2", "example.com:50051", "vsock:1:2",
]  # fmt: skip


@pytest.mark.parametrize("listen", OUTSIDE)
def test_what_others_reach_is_refused_without_a_trusted_gateway(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"reachable from other hosts|must be HOST:PORT"):
        Settings(listen=listen)


def test_a_trusted_gateway_opens_the_door() -> None:
    assert Settings(listen="0.0.0.0:50051", trusted_gateway=True).trusted_gateway


@pytest.mark.parametrize(
    "listen", ["localhost:", "localhost", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:http", "", "unix:"]
)
def test_an_address_has_a_port_that_exists(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"must be HOST:PORT"):
        Settings(listen=listen, trusted_gateway=True)
