"""Tokens: opaque, and valid only for the request that they were made for."""

import base64
from dataclasses import make_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import InvalidPageToken
from service.streams import tokens

VALUES = st.lists(
    st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=4
)
BINDINGS = st.tuples(st.sampled_from(["ListOrders", "ListFills"]), st.uuids(), st.lists(st.text(), max_size=2))
BINDING = ("ListOrders", "alice", None)


def values(*values: str) -> list[str]:
    return list(values)


@given(BINDINGS, VALUES)
def test_a_token_gives_back_what_it_carries(binding: tuple[Any, ...], carried: list[str]) -> None:
    token = tokens.encode(binding, *carried)
    assert tokens.decode(binding, token, values) == carried
    assert token.isascii()
    assert token.replace("-", "").replace("_", "").isalnum(), "it fits into a URL as it is"


@given(BINDINGS, BINDINGS, VALUES)
def test_a_token_of_another_binding_is_bad(one: tuple[Any, ...], other: tuple[Any, ...], carried: list[str]) -> None:
    if one != other:
        with pytest.raises(tokens.BadToken):
            tokens.decode(other, tokens.encode(one, *carried), values)


@given(VALUES)
def test_each_flipped_bit_is_noticed(carried: list[str]) -> None:
    token = tokens.encode(BINDING, *carried)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(len(raw) * 8):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(tokens.BadToken):
            tokens.decode(BINDING, base64.urlsafe_b64encode(damaged).decode().rstrip("="), values)


@given(VALUES, st.text(min_size=1), st.data())
def test_each_cut_and_each_addition_is_noticed(carried: list[str], more: str, data: st.DataObject) -> None:
    token = tokens.encode(BINDING, *carried)
    at = data.draw(st.integers(0, len(token)))
    for damaged in (token[:at], token[at:], token[:at] + more + token[at:], token + token):
        if damaged != token:
            with pytest.raises(tokens.BadToken):
                tokens.decode(BINDING, damaged, values)


@given(st.text())
def test_any_other_text_is_bad(text: str) -> None:
    with pytest.raises(tokens.BadToken):
        tokens.decode(BINDING, text, values)


@pytest.mark.parametrize("carried", [(), ("1", "2"), ("one",), ("",)])
def test_a_token_that_cannot_be_read_is_bad(carried: tuple[str, ...]) -> None:
    with pytest.raises(tokens.BadToken):
        tokens.decode(BINDING, tokens.encode(BINDING, *carried), int)


def test_no_page_token_means_the_first_page_and_a_bad_one_is_an_error() -> None:
    assert tokens.page(BINDING, "", int) is None
    assert tokens.page(BINDING, tokens.encode(BINDING, 7), int) == 7
    with pytest.raises(InvalidPageToken):
        tokens.page(BINDING, "x", int)


def test_a_token_has_one_spelling() -> None:
    token = tokens.encode(BINDING, "value")
    for other in (
        token + "=",
        token + "==",
        token + "\n",
        " " + token,
        token.replace("-", "+").replace("_", "/") + "=",
    ):
        with pytest.raises(tokens.BadToken):
            tokens.decode(BINDING, other, values)


@pytest.mark.parametrize(
    "forged", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59:59", "2026-01-01T00:00:00", "2026-01-01", "x"]
)
def test_a_forged_moment_is_a_bad_token(forged: str) -> None:
    with pytest.raises(InvalidPageToken):
        tokens.page(BINDING, tokens.encode(BINDING, forged), tokens.moment)


def test_a_token_outlives_a_filter_that_learns_to_ask_more() -> None:
    old = make_dataclass("Filter", [("symbols", list)])(["AAPL"])
    new = make_dataclass("Filter", [("symbols", list), ("venues", list | None)])(["AAPL"], None)
    token = tokens.encode(("WatchOrders", old), 7)
    assert tokens.decode(("WatchOrders", new), token, int) == 7
    asked = replace(new, venues=["NASDAQ"])
    with pytest.raises(tokens.BadToken):
        tokens.decode(("WatchOrders", asked), token, int)
