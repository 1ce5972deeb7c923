"""The database accepts all text that the service accepts: its rules are the part that SQL can express."""

import json
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
from tests.isolation.desk import call, cancel, connected, filling, outcome, report, submit

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


def accepts(check: Callable[[Fields, str], object], text: str) -> bool:
    """Whether the service accepts the text."""
    fields = Fields()
    check(fields, text)
    return fields.valid


def accepts_labels(labels: dict[str, str]) -> bool:
    """Whether the service accepts the labels of an order."""
    fields = Fields()
    fields.order_labels("labels", labels)
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
    venue = chosen(lambda fields, text: fields.name("venue", text, most=50, required=True))
    code = chosen(lambda fields, text: fields.code("code", text))
    actor = next(filter(accepts_actor, texts), "desk")
    request_id = next(filter(KEY.fullmatch, texts), "request")
    account = chosen(lambda fields, text: fields.account("account", text))
    labels = next((labels for labels in ({"l": text} for text in texts) if accepts_labels(labels)), {"l": "x"})
    said = {"p_actor": actor, "p_request_id": request_id}
    filed = {"p_account": account, "p_labels": json.dumps(labels), "p_parent_order_id": key, "p_security_id": key}
    entered = said | filed | {"p_symbol": symbol, "p_security_id_source": "FIGI"}
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(trader, uuid4().hex, **entered)
        keyed = outcome(trader, "submit_order", p_client_order_id=key, **entered)
        assert keyed in {"APPLIED", "REPLAYED", "CLIENT_ORDER_ID_REUSED"}
        asked = {"p_order_id": order_id, "p_request_key": uuid4().hex, "p_reason": reason}
        assert outcome(trader, "replace_order", **asked, **said) == "APPLIED"
        call(trader, "set_cancel_timer", **said)
    said["p_actor"] = "execution"
    with connected(database, "blotter_execution", ALICE) as gateway:
        words = {"p_venue": venue, "p_reason": reason, "p_error_code": code}
        assert report(gateway, order_id, "EXECUTED", uuid4().hex, **words, **said) == "APPLIED"
        filled = filling(key, 1) | {"p_venue": venue}
        outcomes = {"APPLIED", "EXECUTION_ID_REUSED", "REPLAYED", "REPORT_ID_REUSED"}
        assert report(gateway, order_id, "FILLED", key, **filled, **said) in outcomes
        busted = {"p_venue": venue, "p_execution_id": uuid4().hex, "p_ref_execution_id": key, "p_reason": reason}
        outcomes = {"APPLIED", "FILL_NOT_FOUND"}
        assert report(gateway, order_id, "FILL_BUSTED", uuid4().hex, **busted, **said) in outcomes
    said["p_actor"] = actor
    with connected(database, "blotter_trader", ALICE) as trader:
        assert cancel(trader, order_id, p_reason=reason, **said) == "APPLIED"


@given(NEAR)
@example("expired")
@example("LATE_FILL ")
@example("exp\u0131red")
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_reserved_word_that_the_service_refuses_the_database_refuses(database: Database, text: str) -> None:
    if "\u0131" in text or not is_visible(text):
        return  # the upper case of a dotless i depends on the locale of the database
    with connected(database, "blotter_trader", ALICE) as trader:
        order_id = submit(trader, uuid4().hex)
        for reason, actor in ((text, "desk"), ("changed my mind", text)):
            savepoint = trader.transaction(force_rollback=True)
            reserved = is_reserved(reason, RESERVED_REASONS)
            reserved |= actor.isascii() and actor == actor.strip() and not accepts_actor(actor)
            if reserved:
                with pytest.raises(CheckViolation), savepoint:
                    cancel(trader, order_id, p_reason=reason, p_actor=actor)


@pytest.mark.parametrize("actor", sorted(RESERVED_ACTORS - {"trader"}))
def test_the_service_refuses_each_actor_that_the_database_refuses(actor: str) -> None:
    assert not accepts_actor(actor)
    assert not accepts_actor(actor.upper())


def test_a_dotless_i_is_an_i() -> None:
    assert is_reserved("exp\u0131red", RESERVED_REASONS)


def test_the_reserved_actors_are_the_service_and_the_kinds_of_callers_that_record_something() -> None:
    assert {"blotter", "sequencer", *CallerKind} - {CallerKind.DESK} == RESERVED_ACTORS


@given(NEAR)
def test_a_reserved_word_is_recognised_among_invisible_characters(text: str) -> None:
    if is_visible(text) and "." not in text:
        assert is_reserved(text, RESERVED_ACTORS | RESERVED_REASONS)


@given(st.text(max_size=40))
def test_visible_text_is_printable(text: str) -> None:
    assert not is_visible(text) or text.isprintable()
