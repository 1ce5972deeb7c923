"""What the table principals makes of a token or a client certificate, while the server runs."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from blotter.audit.v1 import audit_service_pb2
from blotter.orders.v1 import order_service_pb2, watch_pb2
from service.repositories.messages import Statement
from tests.authentication.certificates import Authority, Leaf, trusting
from tests.authentication.forged import claims
from tests.authentication.issuer import ISSUER, Issuer, bearer
from tests.authentication.serving import QUICK, TlsFolder, by_token, eventually, secured, serving_tokens
from tests.conftest import ALICE, BOB, Database
from tests.observability.test_metrics import value
from tests.rpc.errors import info_of, reason_of, refused
from tests.rpc.written import written
from tests.serving import Blotter, order_request, serving
from tests.streams.watching import Watch

DESK = "de500000-0000-4000-8000-000000000001"
WAITING, SENT = "db_client_connection_pending_requests", "db_client_operation_duration_seconds_count"
DENIED, UNAUTHENTICATED = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED


def principals(database: Database, sql: str) -> None:
    """Change the table as its owner."""
    database.cluster.psql(sql, user="blotter_owner", dbname=database.name)


def register(database: Database, subject: str, kind: str, *, issuer: str = ISSUER, trader: object = None) -> None:
    """Register a principal."""
    trader_id = f"'{trader}'" if trader else "NULL"
    principals(
        database,
        "INSERT INTO principals (issuer, subject, kind, trader_id) "
        f"VALUES ('{issuer}', '{subject}', '{kind}', {trader_id})",
    )


def submit(server: Blotter, metadata: Any = ()) -> Any:
    """Enter an order."""
    return server.orders.SubmitOrder(order_request(), metadata=metadata, timeout=30)


async def reason(call: Any) -> str:
    """The reason of a refused call; OK for one that is not."""
    try:
        await call
    except aio.AioRpcError as error:
        return reason_of(error)
    return "OK"


async def becomes(expected: str, call: Callable[[], Any]) -> None:
    """Repeat a call until its outcome is the expected one."""

    async def attempt() -> None:
        assert await reason(call()) == expected

    await eventually(attempt)


async def ended(watch: Watch) -> aio.AioRpcError:
    """Read to the end of the stream, and return its error."""

    async def read_all() -> None:
        while True:
            await watch.next()

    return await refused(read_all())


async def test_the_table_decides_and_the_claims_may_not_contradict_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "blotter.rpc")
    issuer = Issuer()
    register(database, "ada", "trader", trader=BOB)
    register(database, "auditor", "compliance")
    register(database, "eve", "trader", issuer="https://other.example", trader=ALICE)
    async with serving_tokens(database, issuer, jwt_trust_claims=False) as server:
        bob = bearer(issuer.signed(claims(sub="ada", blotter_trader=str(BOB).upper(), blotter_role="trader")))
        assert (await submit(server, bob)).order.trader_id == str(BOB)
        for other in (
            {"blotter_trader": str(ALICE)},
            {"blotter_trader": [str(BOB)]},
            {"blotter_role": "compliance"},
            {"blotter_desk": DESK},
            {"blotter_desk": "None"},
        ):
            contradicting = claims(**{"sub": "ada", "blotter_trader": None, **other})
            error = await refused(submit(server, bearer(issuer.signed(contradicting))))
            assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "TOKEN_INVALID"), other
            assert "contradicts the principal" in str(error.details())
        stranger = bearer(issuer.signed(claims(sub="eve", blotter_trader=None, blotter_role="compliance")))
        for _ in range(2):
            error = await refused(submit(server, stranger))
            assert (error.code(), reason_of(error)) == (DENIED, "UNKNOWN_PRINCIPAL")
            assert '"eve"' in str(error.details())
        assert await reason(submit(server, bearer("x"))) == "TOKEN_INVALID"
        request = audit_service_pb2.ListExecutionLogsRequest()
        auditor = bearer(issuer.signed(claims(sub="auditor", blotter_trader=None, blotter_role="compliance")))
        assert len((await server.audit.ListExecutionLogs(request, metadata=auditor)).execution_logs) == 1
        assert await reason(submit(server, auditor)) == "WRONG_ROLE"
        # A trader that is refused as such is refused under a token too.
        principals(database, f"UPDATE traders SET disabled_at = now() WHERE id = '{BOB}'")
        assert await reason(submit(server, bob)) == "TRADER_DISABLED"
    lines = [vars(record) for record in caplog.records if record.name == "blotter.rpc"]
    [unknown, _] = [line for line in lines if line.get("reason") == "UNKNOWN_PRINCIPAL"]
    assert (unknown["subject"], unknown["issuer"]) == ("eve", ISSUER)
    *contradictions, invalid = [line for line in lines if line.get("reason") == "TOKEN_INVALID"]
    assert invalid["cause"]
    assert {(line["subject"], line["issuer"]) for line in contradictions} == {("ada", ISSUER)}


async def test_a_disabled_or_changed_principal_is_refused_at_once_and_its_streams_end(database: Database) -> None:
    issuer = Issuer()
    subjects = ("ada", "ben", "cyd", "dot")
    for subject in subjects:
        register(database, subject, "trader", trader=ALICE)
    async with serving_tokens(database, issuer, jwt_trust_claims=False) as server:
        tokens = {subject: bearer(issuer.token(subject)) for subject in subjects}
        watches = {
            subject: Watch(server.orders.WatchOrders(watch_pb2.WatchOrdersRequest(), metadata=token))
            for subject, token in tokens.items()
        }
        for watch in watches.values():
            await watch.until_snapshot()
        principals(database, "UPDATE principals SET disabled_at = now() WHERE subject = 'ada'")
        principals(database, f"UPDATE principals SET trader_id = '{BOB}' WHERE subject = 'ben'")
        principals(database, "UPDATE principals SET actor = 'desk' WHERE subject = 'dot'")
        for subject in ("ada", "ben", "dot"):
            error = await ended(watches[subject])
            assert (error.code(), reason_of(error)) == (DENIED, "PRINCIPAL_DISABLED")
            assert ("was changed" in str(error.details())) is (subject != "ada")
            assert info_of(error).metadata["resume_token"] == watches[subject].token
        assert await reason(submit(server, tokens["ada"])) == "PRINCIPAL_DISABLED"
        assert (await submit(server, tokens["ben"])).order.trader_id == str(BOB)
        order = (await submit(server, tokens["cyd"])).order
        await watches["cyd"].until(order.last_sequence)
        principals(database, "UPDATE principals SET disabled_at = NULL WHERE subject = 'ada'")
        await becomes("OK", lambda: submit(server, tokens["ada"]))
        principals(database, "DELETE FROM principals WHERE subject = 'cyd'")
        assert reason_of(await ended(watches["cyd"])) == "UNKNOWN_PRINCIPAL"
        await becomes("UNKNOWN_PRINCIPAL", lambda: submit(server, tokens["cyd"]))


async def test_a_table_that_cannot_be_read_or_has_a_kind_of_a_later_release_stops_nobody_else(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer()
    register(database, "ada", "trader", trader=ALICE)
    async with serving_tokens(database, issuer, jwt_trust_claims=False) as server:
        ada, new = bearer(issuer.token("ada")), bearer(issuer.token("new"))
        await submit(server, ada)
        with caplog.at_level("WARNING", logger="blotter.authentication"):
            principals(database, "REVOKE SELECT ON principals FROM blotter_execution")
            await becomes("IDENTITY_UNAVAILABLE", lambda: submit(server, new))
            await submit(server, ada)
            principals(database, "GRANT SELECT ON principals TO blotter_execution")
            await becomes("UNKNOWN_PRINCIPAL", lambda: submit(server, new))
            principals(database, "ALTER TABLE principals DROP CONSTRAINT ck_principals_kind")
            register(database, "robot", "robot")
            for _ in range(2):
                assert await reason(submit(server, bearer(issuer.token("robot")))) == "UNKNOWN_PRINCIPAL"
            await submit(server, ada)
    own = [record.levelname for record in caplog.records if record.name == "blotter.authentication"]
    assert own == ["WARNING", "ERROR"]
    assert "/blotter.orders.v1.OrderService/SubmitOrder UNAVAILABLE" in caplog.text  # a failed call is a warning
    assert "SQLSTATE 42501" in caplog.text
    assert "The principal robot has the kind robot" in caplog.text


async def test_a_desk_is_the_one_of_its_principal_and_reads_the_orders_of_its_traders_alone(database: Database) -> None:
    issuer = Issuer()
    principals(
        database,
        f"""
        INSERT INTO desks (id, name) VALUES ('{DESK}', 'Equities'), (gen_random_uuid(), 'Rates');
        UPDATE traders SET desk_id = '{DESK}' WHERE id = '{ALICE}';
        UPDATE traders SET desk_id = (SELECT id FROM desks WHERE name = 'Rates') WHERE id = '{BOB}';
        INSERT INTO principals (issuer, subject, kind, desk_id) VALUES ('{ISSUER}', 'head', 'desk', '{DESK}');
        """,
    )
    register(database, "ada", "trader", trader=ALICE)
    register(database, "bob", "trader", trader=BOB)
    async with serving_tokens(database, issuer, jwt_trust_claims=False) as server:
        order = (await submit(server, bearer(issuer.token("ada")))).order
        await submit(server, bearer(issuer.token("bob")))
        head = bearer(issuer.token("head"))
        request = order_service_pb2.ListOrdersRequest()
        for more in ((), (("x-caller-role", "desk"), ("x-desk-id", DESK))):
            orders = (await server.orders.ListOrders(request, metadata=(*head, *more))).orders
            assert [found.order_id for found in orders] == [order.order_id]
        other = ("x-desk-id", str(ALICE))
        assert await reason(server.orders.ListOrders(request, metadata=(*head, other))) == "IDENTITY_MALFORMED"
        assert await reason(submit(server, head)) == "WRONG_ROLE"


async def test_the_registered_actor_is_recorded_and_not_that_of_the_token(database: Database) -> None:
    issuer = Issuer()
    register(database, "x" * 300, "trader", trader=ALICE)
    principals(database, "UPDATE principals SET actor = 'algo-7'")
    async with serving_tokens(database, issuer, jwt_trust_claims=False) as server:
        await submit(server, bearer(issuer.token("x" * 300)))
    actors = database.cluster.psql("SELECT actor FROM execution_logs", dbname=database.name)
    assert actors.split() == ["algo-7"]


DAY_TRADER = "spiffe://desk.example/traders/ada"

CERTIFICATES: dict[str, tuple[str | None, tuple[str, ...], str]] = {
    "a SPIFFE id": ("anything", (DAY_TRADER,), "OK"),
    "a SPIFFE id without a subject": (None, (DAY_TRADER,), "OK"),
    "a subject": ("Ada, Lovelace", (), "OK"),
    "another SPIFFE id": ("Ada, Lovelace", ("spiffe://desk.example/traders/eve",), "UNKNOWN_PRINCIPAL"),
    "another subject": ("ada, lovelace", (), "UNKNOWN_PRINCIPAL"),
    "two SPIFFE ids": ("Ada, Lovelace", (DAY_TRADER, "spiffe://desk.example/x"), "IDENTITY_MALFORMED"),
    "the same SPIFFE id twice": (None, (DAY_TRADER, DAY_TRADER), "IDENTITY_MALFORMED"),
    "a URI that is no SPIFFE id": ("Ada, Lovelace", ("https://desk.example/",), "IDENTITY_MALFORMED"),
    "a SPIFFE id with dots": (None, ("spiffe://desk.example/traders/../traders/ada",), "IDENTITY_MALFORMED"),
    "a SPIFFE id with a query": (None, (DAY_TRADER + "?x",), "IDENTITY_MALFORMED"),
    "a SPIFFE id with a port": (None, ("spiffe://desk.example:1/traders/ada",), "IDENTITY_MALFORMED"),
    "a SPIFFE id in capitals": (None, ("SPIFFE://desk.example/traders/ada",), "IDENTITY_MALFORMED"),
    "no name at all": (None, (), "IDENTITY_MALFORMED"),
    "a SPIFFE id as the subject": (DAY_TRADER, (), "UNKNOWN_PRINCIPAL"),
}


async def test_a_certificate_is_the_principal_that_it_names(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    register(database, DAY_TRADER, "trader", issuer="mtls", trader=ALICE)
    register(database, "CN=Ada\\, Lovelace", "trader", issuer="mtls", trader=ALICE)
    register(database, "spiffe://desk.example/traders/eve", "trader", issuer=ISSUER, trader=ALICE)
    tls = TlsFolder(tmp_path, authority).settings(clients=True)
    async with serving(database, auth="mtls", **tls | QUICK) as server:
        for case, (name, uris, expected) in CERTIFICATES.items():
            async with secured(server, trusting(authority, authority.client(name, *uris))) as client:
                assert await reason(submit(client)) == expected, case
                for pair in (("x-trader-id", str(BOB)), ("x-caller-role", "compliance"), ("x-actor", "eve")):
                    assert await reason(submit(client, (pair,))) != "OK", (case, pair)
    count = sum(expected == "OK" for _, _, expected in CERTIFICATES.values())
    assert database.cluster.psql("SELECT count(*) FROM orders", dbname=database.name).strip() == str(count)


async def test_a_revoked_certificate_is_refused_also_on_its_open_connection(database: Database, tmp_path: Path) -> None:
    authority = Authority()
    register(database, DAY_TRADER, "trader", issuer="mtls", trader=ALICE)
    stolen, other = authority.client(None, DAY_TRADER), authority.client(None, DAY_TRADER)
    tls = TlsFolder(tmp_path, authority)
    tls.replace_revocations(authority.revocations())
    async with (
        serving(database, auth="mtls", **tls.settings(clients=True, revocations=True) | QUICK) as server,
        secured(server, trusting(authority, stolen)) as thief,
        secured(server, trusting(authority, other)) as owner,
    ):
        watch = Watch(thief.orders.WatchOrders(watch_pb2.WatchOrdersRequest()))
        await watch.until_snapshot()
        assert await reason(submit(owner)) == "OK"
        tls.replace_revocations(Authority().revocations(other))  # signed by another: it changes nothing

        async def noticed() -> None:
            assert server.metrics.registry.get_sample_value("blotter_tls_reload_failures_total") == 1

        await eventually(noticed)
        assert await reason(submit(owner)) == "OK"
        tls.replace_revocations(authority.revocations(stolen))
        error = await ended(watch)
        assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "CERTIFICATE_REVOKED")
        assert info_of(error).metadata["resume_token"] == watch.token
        before = written(server)
        assert await reason(submit(thief)) == "CERTIFICATE_REVOKED"
        async with secured(server, trusting(authority, stolen)) as again:
            assert await reason(submit(again)) == "CERTIFICATE_REVOKED"
        assert written(server) == before
        assert await reason(submit(owner)) == "OK"


async def test_a_certificate_that_expires_ends_its_streams_and_is_refused_on_its_open_connection(
    database: Database, tmp_path: Path
) -> None:
    authority = Authority()
    register(database, DAY_TRADER, "trader", issuer="mtls", trader=ALICE)
    short = authority.leaf(None, uris=(DAY_TRADER,), until=timedelta(seconds=4))
    tls = TlsFolder(tmp_path, authority).settings(clients=True)
    async with (
        serving(database, auth="mtls", **tls | QUICK) as server,
        secured(server, trusting(authority, short)) as client,
    ):
        watch = Watch(client.orders.WatchOrders(watch_pb2.WatchOrdersRequest()))
        error = await ended(watch)
        assert (error.code(), reason_of(error)) == (UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
        assert await reason(submit(client)) == "CERTIFICATE_EXPIRED"


async def test_tokens_over_certificates_need_both(database: Database, tmp_path: Path) -> None:
    authority, issuer = Authority(), Issuer()
    tls = TlsFolder(tmp_path, authority)
    host, revoked = authority.client("host"), authority.client("revoked")
    tls.replace_revocations(authority.revocations(revoked))
    async with issuer.serving():
        settings = by_token(issuer, jwt_trust_claims=True, **tls.settings(clients=True, revocations=True))
        async with serving(database, **settings) as server:
            token = bearer(issuer.signed(claims()))

            async def outcome(leaf: Leaf | None, metadata: Any) -> str:
                async with secured(server, trusting(authority, leaf)) as client:
                    try:
                        await submit(client, metadata)
                    except aio.AioRpcError as error:
                        return "no connection" if error.code() is grpc.StatusCode.UNAVAILABLE else reason_of(error)
                    return "OK"

            assert await outcome(None, token) == "no connection"
            assert await outcome(host, ()) == "IDENTITY_MISSING"
            assert await outcome(revoked, token) == "CERTIFICATE_REVOKED"
            assert await outcome(host, token) == "OK"


async def test_refusals_are_counted_by_reason_and_no_call_without_one_is(database: Database) -> None:
    issuer = Issuer()
    async with serving_tokens(database, issuer) as server:
        calls = [submit(server), submit(server, bearer("x")), submit(server, bearer("y"))]
        assert await asyncio.gather(*map(reason, calls)) == ["IDENTITY_MISSING", "TOKEN_INVALID", "TOKEN_INVALID"]
        await submit(server, bearer(issuer.signed(claims())))
        missing = order_service_pb2.GetOrderRequest(client_order_id="none")
        error = await refused(server.orders.GetOrder(missing, metadata=bearer(issuer.signed(claims()))))
        assert reason_of(error) == "ORDER_NOT_FOUND"
        counted = {
            name: server.metrics.registry.get_sample_value("blotter_authentication_failures_total", {"reason": name})
            for name in ("IDENTITY_MISSING", "TOKEN_INVALID", "ORDER_NOT_FOUND")
        }
        assert counted == {"IDENTITY_MISSING": 1, "TOKEN_INVALID": 2, "ORDER_NOT_FOUND": None}


async def test_slow_reads_of_principals_and_of_the_state_leave_a_connection_to_the_probe(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.repositories.database_state._STATE", Statement("SELECT pg_sleep(60)"))
    for module in ("service.sampling", "service.identification", "service.authentication.principals"):
        monkeypatch.setattr(f"{module}.READ_SECONDS", 60)
    issuer = Issuer()
    register(database, "ada", "trader", trader=ALICE)
    async with serving_tokens(database, issuer, jwt_trust_claims=False, health_seconds=0.5) as server:
        await submit(server, bearer(issuer.signed(claims(sub="ada"))))
        monkeypatch.setattr("service.repositories.principals_in_use._READ", "SELECT pg_sleep(60)")
        unknown = asyncio.create_task(reason(submit(server, bearer(issuer.signed(claims(sub="bob"))))))

        def read(name: str, **labels: str) -> float:
            return value(server.metrics, name, login="service", **labels) or 0

        async def until(reached: Callable[[], bool]) -> None:
            async with asyncio.timeout(20):
                while not reached():  # noqa: ASYNC110  # metrics
                    await asyncio.sleep(0.02)

        # One read of the state, the refresh and the read of the unknown subject.
        await until(lambda: read("db_client_connection_count", state="used") + read(WAITING) >= 3)
        sent = read(SENT)
        await until(lambda: read(SENT) >= sent + 5)
        unknown.cancel()
