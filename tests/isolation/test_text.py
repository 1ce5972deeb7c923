"""The database accepts all text that the service accepts: its rules are the part that SQL can express."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.errors import CheckViolation

from service.domain.errors import IdentityMalformed
from service.domain.identity import CallerKind
from service.domain.text import KEY, RESERVED_ACTORS, RESERVED_REASONS, is_reserved, is_visible
from service.interceptors.identity import caller_from
from service.servicers.fields import Fields
from tests.conftest import ALICE, Database
from tests.isolation.desk import DIGEST, connected, one

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60)
# Variants of the reserved words: every case, widths, ligatures, spaces around, and invisible characters.
WORDS = st.sampled_from(sorted(RESERVED_ACTORS | RESERVED_REASONS))
AROUND = st.text(st.sampled_from(" \t\u00a0\u200b\u202e\ufe0f\u3164\u034f."), max_size=3)
NEAR = st.builds(
    lambda before, word, after, change: before + change(word) + after,
    AROUND,
    WORDS,
    AROUND,
    st.sampled_from([str, str.lower, str.title, lambda word: "".join(chr(ord(letter) + 0xFEE0) for letter in word)]),
)
TEXT = ANY | ASCII | NEAR
SUBMIT = """SELECT outcome FROM submit_order(
    %s, %s, %s, %s, 'BUY', 'LIMIT', 100, 10.25, NULL, NULL, NULL, false, %s, %s)"""
CANCEL = "SELECT outcome FROM cancel_order(%s, %s, NULL, %s, %s, %s)"
REPORT = """SELECT outcome FROM report_execution(
    %s, (SELECT id FROM orders WHERE client_order_id = %s), %s, %s, %s, '2012-06-21Z', %s, %s, %s, 0, %s, %s, %s, %s,
    'execution', 'request')"""


def accepts(check: Callable[[Fields, str], object], text: str) -> bool:
    """Whether the service accepts the text."""
    fields = Fields()
    check(fields, text)
    return fields.valid


def accepts_actor(actor: str) -> bool:
    """Whether the service accepts a trader's actor."""
    try:
        caller_from([("x-trader-id", str(ALICE)), ("x-actor", actor)], "request", None)
    except IdentityMalformed:
        return False
    return True


@given(st.lists(TEXT, min_size=12, max_size=12))
@example(["S", "k", "ada", "ask-1", "\u2602 \U0001f389 \u540d\u524d", "NASDAQ", *["x"] * 6])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_service_accepts_the_database_accepts(database: Database, texts: list[str]) -> None:
    def chosen(check: Callable[[Fields, str], object]) -> str:
        return next((text for text in texts if accepts(check, text)), "x")

    key = chosen(lambda fields, text: fields.key("key", text))
    symbol = chosen(lambda fields, text: fields.symbol("symbol", text))
    reason = chosen(lambda fields, text: fields.reason("reason", text))
    venue = chosen(lambda fields, text: fields.venue("venue", text, required=True))
    code = chosen(lambda fields, text: fields.code("code", text))
    actor = next(filter(accepts_actor, texts), "desk")
    request_id = next(filter(KEY.fullmatch, texts), "request")
    with connected(database, "blotter_trader", ALICE) as trader:
        client_order_id = uuid4().hex
        values = (ALICE, client_order_id, DIGEST, symbol, actor, request_id)
        assert one(trader, SUBMIT, *values) == "APPLIED"
        assert one(trader, SUBMIT, *(ALICE, key, *values[2:])) in {"APPLIED", "REPLAYED", "CLIENT_ORDER_ID_REUSED"}
    with connected(database, "blotter_execution", ALICE) as gateway:
        executed = ("EXECUTED", venue, reason, code, None, None, None, None)
        assert one(gateway, REPORT, ALICE, client_order_id, uuid4().hex, DIGEST, *executed) == "APPLIED"
        filled = ("FILLED", venue, None, None, key, 1, "1", "0")
        outcome = one(gateway, REPORT, ALICE, client_order_id, key, DIGEST, *filled)
        assert outcome in {"APPLIED", "EXECUTION_ID_REUSED", "REPLAYED"}
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = one(trader, "SELECT id FROM orders WHERE client_order_id = %s", client_order_id)
        assert one(trader, CANCEL, ALICE, order_id, reason, actor, request_id) == "APPLIED"


@given(NEAR)
@example("expired")
@example("LATE_FILL ")
@example("exp\u0131red")
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_reserved_word_that_the_service_refuses_the_database_refuses(database: Database, text: str) -> None:
    if "\u0131" in text or not is_visible(text):
        return  # the upper case of a dotless i depends on the locale of the database
    with connected(database, "blotter_trader", ALICE) as trader:
        client_order_id = uuid4().hex
        one(trader, SUBMIT, ALICE, client_order_id, DIGEST, "AAPL", "desk", "request")
        order_id = one(trader, "SELECT id FROM orders WHERE client_order_id = %s", client_order_id)
        for reason, actor in ((text, "desk"), ("changed my mind", text)):
            savepoint = trader.transaction(force_rollback=True)
            reserved = is_reserved(reason, RESERVED_REASONS)
            reserved |= actor.isascii() and actor == actor.strip() and not accepts_actor(actor)
            if reserved:
                with pytest.raises(CheckViolation), savepoint:
                    one(trader, CANCEL, ALICE, order_id, reason, actor, "request")


@pytest.mark.parametrize("actor", sorted(RESERVED_ACTORS - {"trader"}))
def test_the_service_refuses_each_actor_that_the_database_refuses(actor: str) -> None:
    assert not accepts_actor(actor)
    assert not accepts_actor(actor.upper())


def test_a_dotless_i_is_an_i() -> None:
    assert is_reserved("exp\u0131red", RESERVED_REASONS)


def test_the_reserved_actors_are_the_service_and_the_kinds_of_callers() -> None:
    assert {"blotter", "sequencer", *CallerKind} == RESERVED_ACTORS


@given(NEAR)
def test_a_reserved_word_is_recognised_among_invisible_characters(text: str) -> None:
    if is_visible(text) and "." not in text:
        assert is_reserved(text, RESERVED_ACTORS | RESERVED_REASONS)


@given(st.text(max_size=40))
def test_visible_text_is_printable(text: str) -> None:
    assert not is_visible(text) or text.isprintable()
