"""A client of a scripted server, with time that tests can see pass."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import grpc
import pytest

from blotter_client import Client
from tests.client.fake_time import Time
from tests.client.scripted import Script, playing, quick_options
from tests.conftest import ALICE

CLOSE_SECONDS = 10


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
    with playing(script) as target:
        channel = grpc.insecure_channel(target, options=quick_options())
        yield channel
        # grpc waits without limit for the last events of cancelled calls. Once in four runs of the whole suite one did
        # not come; that must not hang the run.
        closing = Thread(target=channel.close, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


@pytest.fixture
def client(channel: grpc.Channel, time: Time) -> Client:
    """Alice's client."""
    return Client(channel, trader_id=ALICE, actor="alice's algo", timing=time.timing)
