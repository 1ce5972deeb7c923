"""A client of a scripted server, synchronous or asyncio, with a clock that the tests control."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from blotter_client import Client
from blotter_client.channel import close_channel
from tests.client.faces import Face, Synchronous, asyncio_face
from tests.client.fake_time import Time
from tests.client.scripted import Script, playing, quick_options
from tests.conftest import ALICE


@pytest.fixture(params=["synchronous", "asyncio"])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    """The synchronous client and the asyncio client in turn."""
    if request.param == "synchronous":
        yield Synchronous()
        return
    with asyncio_face() as face:
        yield face


@pytest.fixture
def script() -> Script:
    """The script of the server, which is empty at first."""
    return Script()


@pytest.fixture
def time() -> Time:
    """The clock of the client."""
    return Time()


@pytest.fixture
def channel(script: Script, face: Face) -> Iterator[grpc.Channel]:
    """A channel to the scripted server, with the client's retry policy and a shorter backoff."""
    with playing(script) as target:
        channel = face.channel(target, quick_options())
        yield channel
        close_channel(channel)


@pytest.fixture
def client(channel: grpc.Channel, face: Face, time: Time) -> Client:
    """Alice's client."""
    return face.client(channel, trader_id=ALICE, actor="alice's algo", timing=time.timing(face.name))
