"""Bearer tokens: which are accepted, and that an attacker's are not."""

import json
from typing import Any

import grpc
import pytest

from blotter.orders.v1 import order_service_pb2
from tests.authentication.forged import FORGED, HEADER, KEY, changed, claims, put_together
from tests.authentication.issuer import Issuer, bearer
from tests.authentication.serving import serving_tokens
from tests.conftest import ALICE, BOB, Database
from tests.rpc.errors import info_of, reason_of, refused
from tests.rpc.written import written
from tests.serving import Blotter, order_request

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


def submit(server: Blotter, metadata: Any) -> Any:
    """Enter an order under some metadata."""
    return server.orders.SubmitOrder(order_request(), metadata=metadata)


async def test_no_forged_token_is_accepted(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        for case, (make, cause) in FORGED.items():
            token = make(issuer)
            error = await refused(submit(server, bearer(token)))
            if cause != KEY or reason_of(error) != "IDENTITY_UNAVAILABLE":  # an unknown key that may be a new one
                assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "TOKEN_INVALID"), case
                assert cause in str(error.details()), case
            sent = str(error.details()) + json.dumps(dict(info_of(error).metadata))
            assert not any(len(part) > 3 and part in sent for part in token.split(".")), case
        assert issuer.fetches <= 2  # one at the start, and one that unknown keys have caused
        assert written(server) == (0, 0, 0, None)
        await submit(server, bearer(issuer.signed(claims())))


AUTHORIZATIONS: dict[str, tuple[list[str | bytes], str]] = {
    "none": ([], "IDENTITY_MISSING"),
    "two tokens": (["Bearer {}", "Bearer {}"], "IDENTITY_MISSING"),
    "an empty one": ([""], "TOKEN_INVALID"),
    "another scheme": (["Basic {}"], "TOKEN_INVALID"),
    "no scheme": (["{}"], "TOKEN_INVALID"),
    "two tokens in one": (["Bearer {}, Bearer {}"], "TOKEN_INVALID"),
    "text behind it": (["Bearer {} x"], "TOKEN_INVALID"),
}


async def test_a_call_has_exactly_one_bearer_token(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        token = issuer.signed(claims())
        for case, (values, reason) in AUTHORIZATIONS.items():
            metadata = [("authorization", str(value).replace("{}", token)) for value in values]
            error = await refused(submit(server, metadata))
            assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, reason), case
        # Metadata that named a caller before names none now.
        error = await refused(submit(server, (("x-trader-id", str(ALICE)),)))
        assert reason_of(error) == "IDENTITY_MISSING"
        assert written(server) == (0, 0, 0, None)
        await submit(server, (("authorization", f"bearer  {token}"),))


async def test_an_expired_token_is_told_apart_also_when_it_was_accepted_before(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer, jwt_leeway_seconds=30) as server:
        await submit(server, bearer(issuer.signed(claims(exp=claims()["iat"] - 20))))  # within the leeway
        error = await refused(submit(server, bearer(issuer.signed(claims(exp=claims()["iat"] - 31)))))
        assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "TOKEN_EXPIRED")
        soon = issuer.signed(claims(exp=claims()["iat"] - 28))
        await submit(server, bearer(soon))
        while True:
            try:
                await submit(server, bearer(soon))
            except grpc.aio.AioRpcError as late:
                assert reason_of(late) == "TOKEN_EXPIRED"  # noqa: PT017
                break


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "PS256"])
async def test_each_default_algorithm_is_accepted_with_its_own_keys(database: Database, algorithm: str) -> None:
    issuer = Issuer()
    issuer.add_key("another", algorithm)
    async with serving_tokens(database, issuer) as server:
        await submit(server, bearer(issuer.signed(claims())))
        await submit(server, bearer(issuer.signed(claims(), "first")))
        await submit(server, bearer(issuer.signed(claims(aud=["books", "blotter"]), typ="at+jwt")))


CONTRADICTIONS = [
    ("x-trader-id", str(BOB)),
    ("x-trader-id", ""),
    ("x-caller-role", "compliance"),
    ("x-desk-id", str(ALICE)),
    ("x-actor", "eve"),
]


async def test_metadata_may_repeat_the_identity_and_not_contradict_it(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        token = bearer(issuer.signed(claims()))
        for pair in CONTRADICTIONS:
            error = await refused(submit(server, (*token, pair)))
            assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "IDENTITY_MALFORMED"), pair
            error = await refused(submit(server, (*token, ("x-trader-id", str(ALICE)), pair)))
            assert reason_of(error) == "IDENTITY_MALFORMED", pair
        assert written(server) == (0, 0, 0, None)
        await submit(server, (*token, ("x-trader-id", str(ALICE).upper()), ("x-actor", "ada")))


async def test_the_actor_is_the_subject_or_another_claim_and_is_never_shortened(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer, jwt_claims="actor=email") as server:
        response = await submit(server, bearer(issuer.signed(claims(email="ada@desk.example"))))
        listed = await server.orders.ListOrders(
            order_service_pb2.ListOrdersRequest(), metadata=bearer(issuer.signed(claims(email="other")))
        )
        assert [order.order_id for order in listed.orders] == [response.order.order_id]
        for actor in ("a" * 101, "blotter", "compliance", "Sequencer", "", " ada", "n\u00e4m", None, 7):
            error = await refused(submit(server, bearer(changed(email=actor)(issuer))))
            assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "IDENTITY_MALFORMED"), actor
    actors = database.cluster.psql("SELECT DISTINCT actor FROM execution_logs", dbname=database.name)
    assert actors.split() == ["ada@desk.example"]


async def test_a_token_without_a_key_id_is_verified_by_the_one_key_of_its_algorithm(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        await submit(server, bearer(put_together(issuer, {"alg": "ES256"}, claims())))
    issuer.add_key("second")
    async with serving_tokens(database, issuer) as server:
        error = await refused(submit(server, bearer(put_together(issuer, {"alg": "ES256"}, claims()))))
        assert reason_of(error) == "TOKEN_INVALID"
        await submit(server, bearer(put_together(issuer, HEADER, claims())))
