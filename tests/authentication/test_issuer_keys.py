"""The keys of the issuer: how often they are read, and what happens when they cannot be."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt import get_algorithm_by_name

from service.authentication import issuer_keys
from service.authentication.issuer_keys import IssuerKeys
from service.authentication.key_set import BadKeySet, parse
from service.authentication.key_sources import FileSource, UrlSource
from service.authentication.tokens import Tokens
from service.domain.errors import BlotterError, IdentityUnavailable, TokenInvalid
from tests.authentication.forged import claims, part
from tests.authentication.issuer import AUDIENCE, ISSUER, Issuer

ALGORITHMS = ["ES256", "EdDSA", "RS256", "PS256"]
DAY = 86400


@asynccontextmanager
async def verifying(issuer: Issuer) -> AsyncIterator[tuple[IssuerKeys, Tokens]]:
    """The keys of a served issuer, read once, and what verifies its tokens."""
    async with issuer.serving() as url:
        keys = IssuerKeys(UrlSource(url), ALGORITHMS, DAY)
        await keys.read()
        try:
            yield keys, Tokens(keys, ISSUER, [AUDIENCE], ALGORITHMS, 0, ["blotter_trader", "blotter_role"])
        finally:
            await keys.close()


async def outcome(tokens: Tokens, token: str, seconds: float | None = None) -> str:
    """The subject of an accepted token, or the reason of the error."""
    try:
        return (await tokens.verify(token, None if seconds is None else time.monotonic() + seconds)).subject
    except BlotterError as error:
        return error.reason


async def test_ten_thousand_unknown_keys_cause_one_read() -> None:
    issuer = Issuer()
    async with verifying(issuer) as (_, tokens):
        before = issuer.fetches
        known = issuer.signed(claims())
        _, rest = known.split(".", 1)
        outcomes: list[str] = []
        for number in range(10_000):
            forged = issuer_header(f"key-{number}") + "." + rest
            outcomes.append(await outcome(tokens, forged))
        assert issuer.fetches - before <= 2  # the cool-down may end once meanwhile
        # In the cool-down the key may be a new one: a genuine token is not refused for good because of a stranger's.
        assert (outcomes[0], outcomes[1]) == ("TOKEN_INVALID", "IDENTITY_UNAVAILABLE")
        assert set(outcomes) == {"TOKEN_INVALID", "IDENTITY_UNAVAILABLE"}
        assert await outcome(tokens, known) == "ada"


async def test_of_a_token_only_the_claims_that_the_settings_name_are_kept() -> None:
    issuer = Issuer()
    async with verifying(issuer) as (_, tokens):
        token = issuer.signed(claims(padding="x" * 5000, groups=["a"] * 100))
        for _ in range(2):
            assert (await tokens.verify(token, None)).claims == {"blotter_trader": claims()["blotter_trader"]}


def issuer_header(kid: str) -> str:
    """A header, as a part of a token."""
    return part({"alg": "ES256", "kid": kid})


async def test_a_new_key_is_found_at_once_though_the_set_has_just_been_read() -> None:
    issuer = Issuer()
    async with verifying(issuer) as (keys, tokens):
        await keys.read()
        issuer.add_key("second")
        assert await outcome(tokens, issuer.signed(claims())) == "ada"


async def test_many_calls_with_a_new_key_share_one_read_and_all_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "COOL_DOWN_SECONDS", -1)
    issuer = Issuer()
    async with verifying(issuer) as (_, tokens):
        issuer.add_key("second")
        issuer.answering.clear()
        fresh = [issuer.signed(claims(sub=f"ada-{number}")) for number in range(100)]
        calls = [asyncio.create_task(outcome(tokens, token)) for token in fresh]
        await asyncio.sleep(0)
        issuer.answering.set()
        assert await asyncio.gather(*calls) == [f"ada-{number}" for number in range(100)]
        assert issuer.fetches == 2


async def test_a_key_that_the_issuer_removes_verifies_no_more_not_even_a_token_that_it_did() -> None:
    issuer = Issuer()
    async with verifying(issuer) as (keys, tokens):
        token = issuer.signed(claims())
        assert await outcome(tokens, token) == "ada"
        issuer.add_key("second")
        issuer.remove_key("first")
        await keys.read()
        assert await outcome(tokens, token) == "TOKEN_INVALID"
        assert await outcome(tokens, issuer.signed(claims())) == "ada"


async def test_keys_serve_through_an_outage_of_the_issuer_until_their_maximum_age(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = Issuer()
    async with verifying(issuer) as (keys, tokens):
        token = issuer.signed(claims())
        assert await outcome(tokens, token) == "ada"
        issuer.away = True
        with caplog.at_level(logging.WARNING, logger="blotter.authentication"):
            await keys.read()
            await keys.read()
        assert [record.getMessage().count("the status is 503") for record in caplog.records] == [1]
        assert await outcome(tokens, token) == "ada"
        assert await outcome(tokens, issuer.signed(claims(sub="eve"))) == "eve"
        # A key that is not known may be a new one: the client may try again.
        issuer.add_key("second")
        assert await outcome(tokens, issuer.signed(claims())) == "IDENTITY_UNAVAILABLE"
        monkeypatch.setattr(keys, "_max_age", 0)
        assert await outcome(tokens, token) == "IDENTITY_UNAVAILABLE"
        assert await outcome(tokens, issuer.signed(claims(), "first")) == "IDENTITY_UNAVAILABLE"
        issuer.away = False
        monkeypatch.setattr(keys, "_max_age", DAY)
        assert await outcome(tokens, issuer.signed(claims())) == "IDENTITY_UNAVAILABLE"  # in the cool-down
        await keys.read()
        assert await outcome(tokens, issuer.signed(claims())) == "ada"


async def test_an_issuer_that_does_not_answer_delays_no_call_with_a_known_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_keys, "COOL_DOWN_SECONDS", -1)
    monkeypatch.setattr(issuer_keys, "MOST_WAITING", 5)
    issuer = Issuer()
    async with verifying(issuer) as (_, tokens):
        known = issuer.signed(claims())
        issuer.answering.clear()
        issuer.add_key("second")
        new = issuer.signed(claims())
        waiting = [asyncio.create_task(outcome(tokens, new)) for _ in range(5)]
        await asyncio.sleep(0)
        for number in range(100):
            assert await outcome(tokens, known) == "ada"
            assert await outcome(tokens, issuer.signed(claims(sub=f"ada-{number}"), "first")) == f"ada-{number}"
        # Calls beyond the bound, and those whose deadline passes, are refused and not kept.
        assert await outcome(tokens, new) == "IDENTITY_UNAVAILABLE"
        assert not any(call.done() for call in waiting)
        waiting.pop().cancel()
        assert await outcome(tokens, new, seconds=0) == "IDENTITY_UNAVAILABLE"
        issuer.answering.set()
        assert await asyncio.gather(*waiting) == ["ada"] * 4


def oct_key(kid: str) -> dict[str, str]:
    """A symmetric key."""
    return {"kty": "oct", "k": "c2VjcmV0", "kid": kid, "alg": "HS256"}


def small_rsa() -> dict[str, Any]:
    """An RSA key of 1,024 bits."""
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  # what must be refused
    jwk: dict[str, Any] = get_algorithm_by_name("RS256").to_jwk(key.public_key(), as_dict=True)
    return {**jwk, "kid": "small"}


UNUSABLE: dict[str, Any] = {
    "an encryption key": {"use": "enc"},
    "a key that signs": {"key_ops": ["sign"]},
    "a key of another algorithm": {"alg": "ES384"},
    "a key whose algorithm is an HMAC": {"alg": "HS256"},
    "a key of an unknown curve": {"crv": "P-257"},
    "a key off its curve": {"x": "AAAA"},
    "a key without a point": {"y": None},
    "a private key": {"d": "AAAA"},
    "a key id that is a number": {"kid": 1},
    "a type that is a list": {"kty": []},
    "a curve that is an object": {"crv": {}},
    "operations of another type": {"key_ops": [[], {}]},
}


def test_a_key_that_may_not_verify_is_left_out() -> None:
    issuer = Issuer()
    good = issuer.public_jwk("first")
    for case, change in UNUSABLE.items():
        other = {**good, "kid": "other", **change}
        keys = parse(json.dumps({"keys": [other, oct_key("oct"), small_rsa(), 7, {}, good]}).encode(), ALGORITHMS)
        assert keys.find("first", "ES256"), case
        assert not any(
            keys.find(kid, algorithm) for kid in ("other", "oct", "small") for algorithm in [*ALGORITHMS, "HS256"]
        ), case


def test_a_set_without_a_usable_key_or_with_an_ambiguous_one_is_refused() -> None:
    first, second = Issuer().public_jwk("first"), Issuer().public_jwk("first")
    for keys in ([], [oct_key("first")], [small_rsa()], [first, second], {"first": first}, [first] * 101):
        with pytest.raises(BadKeySet):
            parse(json.dumps({"keys": keys}).encode(), ALGORITHMS)
    for raw in (b"", b"[]", b"{}", b"7", b"\xff", b"[" * 100_000, b'{"keys": null}'):
        with pytest.raises(BadKeySet):
            parse(raw, ALGORITHMS)


async def test_what_is_no_key_set_changes_nothing() -> None:
    issuer = Issuer()
    async with verifying(issuer) as (keys, tokens):
        token = issuer.signed(claims())
        for body in (b"<html>", json.dumps({"keys": []}).encode(), b"x" * 1_000_000):
            issuer.body = body
            await keys.read()
            assert keys.failure
            assert await outcome(tokens, token) == "ada"
            assert await outcome(tokens, issuer.signed(claims(sub="eve"))) == "eve"


async def test_a_redirect_is_not_followed() -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    app = web.Application()
    app.router.add_get("/", redirect)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    keys = IssuerKeys(UrlSource(f"http://127.0.0.1:{port}/"), ALGORITHMS, DAY)
    try:
        await keys.read()
    finally:
        await runner.cleanup()
    assert keys.failure == "the status is 302"
    with pytest.raises(IdentityUnavailable):
        keys.require()


async def test_keys_in_a_file_are_read_again(tmp_path: Path) -> None:
    issuer = Issuer()
    source = FileSource(issuer.write(tmp_path / "keys.json"))
    source.seconds = 0.01
    keys = IssuerKeys(source, ALGORITHMS, DAY)
    running = asyncio.create_task(keys.run())
    issuer.add_key("second")
    issuer.write(tmp_path / "keys.json")
    async with asyncio.timeout(30):
        while True:
            try:
                await keys.find("second", "ES256", None)
                break
            except (TokenInvalid, IdentityUnavailable):
                await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await keys.close()
