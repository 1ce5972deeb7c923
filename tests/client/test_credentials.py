"""TLS and bearer tokens: what is sent, to whom, and when a stream asks for another token."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from blotter.orders.v1 import order_pb2, order_service_pb2
from blotter_client import AsyncClient, BlotterError, Client
from blotter_client.channel import is_loopback
from tests.authentication.certificates import Authority
from tests.client.faces import Face
from tests.client.fake_time import Time
from tests.client.scripted import Script, answers, complete, events, playing, refuses, retry_after, sends
from tests.conftest import ALICE

ORDER = order_service_pb2.GetOrderResponse(order=order_pb2.Order(symbol="AAPL"))
EXPIRED = refuses("TOKEN_EXPIRED", grpc.StatusCode.UNAUTHENTICATED)


@pytest.fixture(scope="module")
def authority() -> Authority:
    """The authority of the server's and the client's certificate."""
    return Authority()


@pytest.fixture
def secure(script: Script, authority: Authority) -> Iterator[str]:
    """The target of a scripted server with TLS that requires a client certificate."""
    own = authority.server()
    pair = (own.key_pem, own.cert_pem)
    credentials = grpc.ssl_server_credentials([pair], authority.pem, require_client_auth=True)
    with playing(script, credentials) as target:
        yield target


def test_certificates_and_a_token_replace_the_trader_and_the_role(
    face: Face, script: Script, secure: str, authority: Authority
) -> None:
    script.plays = [answers(ORDER)]
    own = authority.client()
    arguments: dict[str, Any] = {
        "root_certificates": authority.pem,
        "certificate_chain": own.cert_pem,
        "private_key": own.key_pem,
        "token": "a.b.c",
    }
    with face.client(secure, **arguments) as client:
        assert client.get_order(client_order_id="x") == ORDER.order
    [sent] = script.metadata
    assert sent["authorization"] == "Bearer a.b.c"
    assert not {"x-trader-id", "x-caller-role", "x-actor"} & set(sent)


def test_nothing_is_sent_to_a_server_that_another_authority_has_certified(
    face: Face, script: Script, secure: str
) -> None:
    arguments: dict[str, Any] = {"root_certificates": Authority().pem, "token": "a.b.c", "timeout": 3}
    with face.client(secure, **arguments) as client, pytest.raises(BlotterError) as raised:
        client.get_order(client_order_id="x")
    assert raised.value.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
    assert script.requests == []


def test_each_call_asks_the_provider_for_a_token(face: Face, script: Script) -> None:
    script.plays = [answers(ORDER)] * 2
    tokens = iter(["first", "second"])
    with playing(script) as target, face.client(target, token=lambda: next(tokens)) as client:
        for _ in range(2):
            client.get_order(client_order_id="x")
    assert [sent["authorization"] for sent in script.metadata] == ["Bearer first", "Bearer second"]


async def test_an_asynchronous_provider_has_as_much_time_as_the_call(script: Script) -> None:
    async def provide() -> str:
        await given.wait()
        return "late"

    given = asyncio.Event()
    script.plays = [answers(ORDER)]
    with playing(script) as target:
        async with AsyncClient(target, token=provide, timeout=0.05) as client:
            with pytest.raises(BlotterError) as raised:
                await client.get_order(client_order_id="x")
            assert (raised.value.code, raised.value.reason) == (grpc.StatusCode.UNAVAILABLE, "TOKEN_NOT_PROVIDED")
            assert script.requests == []
            given.set()
            await client.get_order(client_order_id="x", timeout=30)
    assert script.metadata[0]["authorization"] == "Bearer late"


async def test_a_watch_that_is_cancelled_while_its_token_is_provided_ends_without_a_message(script: Script) -> None:
    async def provide() -> str:
        asked.set()
        await given.wait()
        return "late"

    asked, given = asyncio.Event(), asyncio.Event()
    script.plays = [sends(complete(1), then=script.silence)]
    with playing(script) as target:
        async with AsyncClient(target, token=provide) as client:
            watch = client.watch_orders()
            reading = asyncio.ensure_future(anext(watch, None))
            await asked.wait()
            watch.cancel()
            given.set()
            assert await reading is None


def test_a_stream_whose_token_expires_resumes_with_the_next_one(face: Face, script: Script, time: Time) -> None:
    script.plays = [
        sends(complete(1), then=EXPIRED),
        sends(events(2), then=EXPIRED),
        sends(events(3), then=script.silence),
    ]
    numbers = iter(range(1, 10))
    arguments: dict[str, Any] = {"trader_id": ALICE, "timing": time.timing(face.name)}
    with (
        playing(script) as target,
        face.client(target, token=lambda: f"token-{next(numbers)}", **arguments) as client,
        client.watch_orders() as watch,
    ):
        assert [next(watch).WhichOneof("message") for _ in range(3)] == ["snapshot_complete", "events", "events"]
    assert script.tokens == ["", "after-1", "after-2"]
    assert [sent["authorization"] for sent in script.metadata] == [f"Bearer token-{number}" for number in (1, 2, 3)]


def test_a_stream_ends_when_its_tokens_are_not_renewed(face: Face, script: Script, time: Time) -> None:
    away = refuses("DRAINING", grpc.StatusCode.UNAVAILABLE)
    script.plays = [sends(complete(1), then=EXPIRED), EXPIRED, away, EXPIRED, sends(complete(2), then=EXPIRED)]
    script.plays += [EXPIRED] * 4
    arguments: dict[str, Any] = {"trader_id": ALICE, "timing": time.timing(face.name)}
    with playing(script) as target, face.client(target, token="same", **arguments) as client:
        watch = client.watch_orders()
        assert [next(watch).snapshot_complete.last_sequence for _ in range(2)] == [1, 2]
        with pytest.raises(BlotterError, match="TOKEN_EXPIRED"):
            next(watch)
        assert watch.resume_token == "after-2"
    assert script.plays == []


def test_a_stream_resumes_when_the_issuers_keys_are_not_available(face: Face, script: Script, time: Time) -> None:
    away = refuses("IDENTITY_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, details=(retry_after(1),))
    script.plays = [away, sends(complete(1), then=script.silence)]
    arguments: dict[str, Any] = {"trader_id": ALICE, "timing": time.timing(face.name)}
    with (
        playing(script) as target,
        face.client(target, token="same", **arguments) as client,
        client.watch_orders() as watch,
    ):
        assert next(watch).snapshot_complete.last_sequence == 1


def test_an_error_of_the_provider_is_raised_by_the_call(face: Face, script: Script) -> None:
    def provide() -> str:
        raise ZeroDivisionError

    with playing(script) as target, face.client(target, trader_id=ALICE, token=provide) as client:
        with pytest.raises(ZeroDivisionError):
            client.get_order(client_order_id="x")
        with pytest.raises(ZeroDivisionError):
            next(client.watch_orders())
    assert script.requests == []


@pytest.mark.parametrize("token", ["", "two words", "line\n", "über", "a\0b"])
def test_a_text_that_is_no_token_is_refused_without_being_printed(face: Face, script: Script, token: str) -> None:
    with playing(script) as target:
        with pytest.raises(ValueError, match="RFC 6750") as given:
            face.client(target, token=token)
        with (
            face.client(target, token=lambda: token) as client,
            pytest.raises(ValueError, match="RFC 6750") as provided,
        ):
            client.get_order(client_order_id="x")
    assert not token or token not in f"{given.value} {provided.value}"
    assert script.requests == []


@pytest.mark.parametrize("target", ["blotter.example:443", "10.0.0.1:50051", "dns:///blotter.example:443"])
def test_no_token_is_sent_in_clear_beyond_loopback(face: Face, target: str) -> None:
    with pytest.raises(ValueError, match=f"not sent to {target} without TLS"):
        face.client(target, token="a.b.c")
    with face.client(target, token="a.b.c", credentials=grpc.ssl_channel_credentials()):
        pass


@pytest.mark.parametrize(
    ("target", "is_it"),
    [
        ("localhost:1", True),
        ("127.9.0.1:1", True),
        ("[::1]:1", True),
        ("unix:/run/blotter", True),
        ("dns:///localhost:1", True),
        ("dns:localhost:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv6:[::1]:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns://10.0.0.1/localhost:1", False),
        ("localhost.example:1", False),
        ("127.0.0.1.example:1", False),
        ("localhost", False),
        ("", False),
        ("[::]:1", False),
        ("0.0.0.0:1", False),
        ("xds:///localhost:1", False),
    ],
)
def test_what_is_loopback(target: str, is_it: bool) -> None:
    assert is_loopback(target) is is_it


def test_no_proxy_sees_what_is_sent_to_loopback(face: Face, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.plays = [answers(ORDER)]
    with socket.create_server(("127.0.0.1", 0)) as proxy, playing(script) as target:
        for name in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with face.client(target, token="a.b.c") as client:
            assert client.get_order(client_order_id="x") == ORDER.order
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trader_id": ALICE, "role": "execution", "token": "a"}, "exactly one of them"),
        ({"trader_id": ALICE, "desk_id": ALICE}, "desk_id requires the role desk"),
        ({"role": "desk"}, "requires a desk_id"),
        ({"trader_id": ALICE, "certificate_chain": b""}, "require each other"),
        ({"trader_id": ALICE, "private_key": b""}, "require each other"),
        (
            {"trader_id": ALICE, "root_certificates": b"", "credentials": grpc.ssl_channel_credentials()},
            "either credentials or certificates",
        ),
    ],
)
def test_contradictory_arguments_are_refused(face: Face, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        face.client("localhost:1", **arguments)


def test_certificates_are_refused_together_with_a_channel(face: Face, script: Script) -> None:
    with playing(script) as target, face.channel(target) as channel, pytest.raises(ValueError, match="has its own"):
        face.client(channel, trader_id=ALICE, credentials=grpc.ssl_channel_credentials())


def test_a_desk_names_itself(face: Face, script: Script) -> None:
    script.plays = [answers(ORDER)]
    with playing(script) as target, face.client(target, role="desk", desk_id=ALICE) as client:
        client.get_order(client_order_id="x")
    assert (script.metadata[0]["x-caller-role"], script.metadata[0]["x-desk-id"]) == ("desk", str(ALICE))


def test_no_client_shows_its_token(script: Script) -> None:
    with playing(script) as target, Client(target, token="s3cr3t") as client:
        assert "s3cr3t" not in repr(vars(client))
