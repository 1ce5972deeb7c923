"""A client of a scripted server, with time that tests can see pass."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from service.client import Client
from tests.client.fake_time import Time
from tests.client.scripted import Script, playing, quick_options
from tests.conftest import ALICE


@pytest.fixture
def script() -> Script:
    """What the server does; nothing yet."""
    return Script()


@pytest.fixture
def time() -> Time:
    """The client's time."""
    return Time()


@pytest.fixture
def channel(script: Script) -> Iterator[grpc.Channel]:
    """A channel to the scripted server, with the client's retry policy, in a hurry."""
    with playing(script) as target, grpc.insecure_channel(target, options=quick_options()) as channel:
        yield channel


@pytest.fixture
def client(channel: grpc.Channel, time: Time) -> Client:
    """Alice's client."""
    return Client(channel, trader_id=ALICE, actor="alice's algo", timing=time.timing)
